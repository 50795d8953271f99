package ops

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"netbank/cluster"
	"netbank/cluster/journal"
	"netbank/cluster/journal/command"
)

// TokenRequest is the body of POST /api/v1/cluster/tokens.
type TokenRequest struct {
	Role            string `json:"role"`            // worker or coordinator
	Uses            int    `json:"uses"`            // missing: 1
	LifetimeSeconds int64  `json:"lifetimeSeconds"` // missing: an hour
	Reason          string `json:"reason"`
}

// NodeRequest is the body of the verbs on a node.
type NodeRequest struct {
	Force  bool   `json:"force,omitempty"` // of remove and drain: even if payments stop
	Reason string `json:"reason"`
}

// LeadRequest is the body of POST /api/v1/cluster/lead.
type LeadRequest struct {
	Node   uint32 `json:"node,omitempty"` // 0: the best
	Reason string `json:"reason"`
}

// RotateRequest is the body of POST /api/v1/cluster/authority/rotate.
type RotateRequest struct {
	Reason string `json:"reason"`
}

// Change is the answer of a verb that changes the cluster.
type Change struct {
	Verb   string   `json:"verb"`
	DryRun bool     `json:"dryRun"` // nothing was changed
	Effect []string `json:"effect"` // what it does, in sentences, as foreseen by the node that was asked
	// Token is the join token, one line, a secret; Expires is when it ends.
	Token   string     `json:"token,omitempty"`
	Expires *time.Time `json:"expires,omitempty"`
}

// bad is a request that cannot be understood.
type bad struct{ text, remedy string }

func (b *bad) Error() string { return b.text + "; " + b.remedy }

// errBusy is a change that came while another was under way.
var errBusy = errors.New("ops: another change of the cluster is under way; nothing was changed")

func (p *port) cluster(w http.ResponseWriter, _ *http.Request) {
	m, ok := p.membersNow(p.readiness())
	if !ok {
		fail(w, problem{
			Status: http.StatusServiceUnavailable, Code: "silent", Detail: fmt.Sprintf("the node does not say within %v who its members are", GlanceTimeout),
			Remedy: "ask another node; look at this one's disk and log",
		})
		return
	}
	answer(w, http.StatusOK, m)
}

// noteWithin bounds the entry of an act into the journal's audit.
const noteWithin = 5 * time.Second

// verb is a change of the cluster, on its way.
type verb struct {
	name       string
	reason     string
	attributes []any // for the audit; no secrets
	alone      bool  // a node alone can do it
	entered    bool  // the journal enters it into the audit by itself
	preview    func(m *Members) ([]string, error)
	do         func(ctx context.Context, done *Change) error
}

// perform does a verb, or with ?dryRun says what it would do.
func (p *port) perform(w http.ResponseWriter, r *http.Request, v verb) {
	dry, err := dryRun(r)
	if err == nil {
		err = checkReason(v.reason)
	}
	if err != nil {
		failWith(w, err)
		return
	}
	attributes := append(v.attributes, "reason", v.reason)
	done, err := p.attempt(r, &v, dry, attributes)
	outcome := "done"
	switch {
	case err != nil:
		outcome = outcomeOf(err)
		attributes = append(attributes, "error", err)
	case dry:
		outcome = "dry-run"
	}
	p.audit(r, v.name, outcome, attributes...)
	if err != nil {
		failWith(w, err)
		return
	}
	if !dry && !v.entered {
		p.note(r, v.name, v.reason, v.attributes)
	}
	answer(w, http.StatusOK, done)
}

// note enters into the journal's audit what an operator has done. What cannot be entered stands in the log all the same.
func (p *port) note(r *http.Request, verb, reason string, attributes []any) {
	var detail []string
	for i := 0; i+1 < len(attributes); i += 2 {
		detail = append(detail, fmt.Sprintf("%v %v", attributes[i], attributes[i+1]))
	}
	text := []rune(strings.Join(detail, ", "))
	note := &command.Note{Verb: verb, Operator: caller(r), Reason: reason, Detail: string(text[:min(len(text), ReasonRunesMax)])}
	result, err := p.Bank.Submit(&journal.Command{Body: &command.Command_Note{Note: note}}, time.Now().Add(noteWithin))
	if err != nil || result.Verdict != journal.Done && result.Verdict != journal.Repeated {
		p.Logger.Warn("ops: the journal's audit does not have it", "verb", verb, "verdict", result.Verdict.String(), "error", err)
	}
}

func (p *port) attempt(r *http.Request, v *verb, dry bool, attributes []any) (*Change, error) {
	if p.Cluster == nil && !v.alone {
		return nil, ErrAlone
	}
	members, ok := p.membersNow(Readiness{})
	if !ok {
		return nil, fmt.Errorf("the node does not say within %v who its members are; nothing was changed", GlanceTimeout)
	}
	effect, err := v.preview(&members)
	// Only the leader can be sure that a change is wrong; elsewhere the members may be out of date.
	if err != nil && (dry || members.leading()) {
		return nil, err
	}
	done := &Change{Verb: v.name, DryRun: dry, Effect: append([]string{}, effect...)}
	if dry {
		return done, nil
	}
	select {
	case p.changing <- struct{}{}:
		defer func() { <-p.changing }()
	default:
		return nil, errBusy
	}
	p.audit(r, v.name, "begun", attributes...)
	// A change goes on when the caller hangs up: half of one is no better than all of it.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), ChangeTimeout)
	defer cancel()
	if err := v.do(ctx, done); err != nil {
		return nil, err
	}
	return done, nil
}

func (p *port) newToken(w http.ResponseWriter, r *http.Request) {
	in := TokenRequest{Uses: 1, LifetimeSeconds: int64(TokenLifetimeDefault / time.Second)}
	if !body(w, r, &in) {
		return
	}
	terms := TokenTerms{Role: in.Role, Uses: in.Uses, Reason: in.Reason}
	if err := in.check(&terms); err != nil {
		failWith(w, err)
		return
	}
	var end time.Time
	p.perform(w, r, verb{
		name: "token", reason: in.Reason, attributes: []any{"role", terms.Role, "uses", terms.Uses, "lifetime", terms.Lifetime.String()},
		preview: func(m *Members) ([]string, error) { return m.previewToken(terms, time.Now()), nil },
		do: func(ctx context.Context, done *Change) (err error) {
			end = time.Now().Add(terms.Lifetime).UTC().Truncate(time.Second)
			done.Token, err = p.Cluster.NewToken(ctx, terms)
			done.Expires = &end
			return err
		},
	})
}

func (in *TokenRequest) check(terms *TokenTerms) error {
	switch {
	case in.Role != RoleWorker && in.Role != RoleCoordinator:
		return &bad{fmt.Sprintf("role is %.40q", in.Role), "say worker or coordinator"}
	case in.Uses < 1 || in.Uses > TokenUsesMax:
		return &bad{fmt.Sprintf("uses is %d", in.Uses), fmt.Sprintf("choose 1 to %d", TokenUsesMax)}
	case in.LifetimeSeconds < 1 || in.LifetimeSeconds > int64(TokenLifetimeMax/time.Second):
		return &bad{fmt.Sprintf("lifetimeSeconds is %d", in.LifetimeSeconds), fmt.Sprintf("choose 1 to %d, which is a week", int64(TokenLifetimeMax/time.Second))}
	}
	terms.Lifetime = time.Duration(in.LifetimeSeconds) * time.Second
	return nil
}

func (p *port) removeNode(w http.ResponseWriter, r *http.Request) {
	node, in, ok := nodeRequest(w, r)
	if !ok {
		return
	}
	p.perform(w, r, verb{
		name: "remove", reason: in.Reason, attributes: []any{"node", node, "force", in.Force},
		preview: func(m *Members) ([]string, error) { return m.previewRemove(node, in.Force) },
		do: func(ctx context.Context, _ *Change) error {
			return p.Cluster.RemoveNode(ctx, journal.NodeID(node), in.Force, in.Reason)
		},
	})
}

func (p *port) promoteNode(w http.ResponseWriter, r *http.Request) {
	node, in, ok := nodeRequest(w, r)
	if !ok {
		return
	}
	if in.Force {
		failWith(w, &bad{"promoting cannot be forced", "leave force out"})
		return
	}
	p.perform(w, r, verb{
		name: "promote", reason: in.Reason, attributes: []any{"node", node},
		preview: func(m *Members) ([]string, error) { return m.previewPromote(node) },
		do: func(ctx context.Context, _ *Change) error {
			return p.Cluster.PromoteNode(ctx, journal.NodeID(node), in.Reason)
		},
	})
}

func (p *port) drainNode(w http.ResponseWriter, r *http.Request)   { p.drain(w, r, true) }
func (p *port) undrainNode(w http.ResponseWriter, r *http.Request) { p.drain(w, r, false) }

func (p *port) drain(w http.ResponseWriter, r *http.Request, on bool) {
	node, in, ok := nodeRequest(w, r)
	if !ok {
		return
	}
	name := "undrain"
	if on {
		name = "drain"
	}
	p.perform(w, r, verb{
		name: name, reason: in.Reason, entered: true, attributes: []any{"node", node, "force", in.Force},
		preview: func(m *Members) ([]string, error) {
			if on {
				return m.previewDrain(node, in.Force)
			}
			return m.previewUndrain(node)
		},
		do: func(ctx context.Context, _ *Change) error {
			return p.Cluster.DrainNode(ctx, journal.NodeID(node), on, caller(r), in.Reason)
		},
	})
}

func (p *port) lead(w http.ResponseWriter, r *http.Request) {
	var in LeadRequest
	if !body(w, r, &in) {
		return
	}
	p.perform(w, r, verb{
		name: "lead", reason: in.Reason, attributes: []any{"node", in.Node},
		preview: func(m *Members) ([]string, error) { return m.previewLead(in.Node) },
		do: func(ctx context.Context, _ *Change) error {
			return p.Cluster.TransferLeadership(ctx, journal.NodeID(in.Node), in.Reason)
		},
	})
}

func (p *port) rotateAuthority(w http.ResponseWriter, r *http.Request) {
	var in RotateRequest
	if !body(w, r, &in) {
		return
	}
	p.perform(w, r, verb{
		name: "rotate-authority", reason: in.Reason,
		preview: func(m *Members) ([]string, error) { return m.previewRotate(), nil },
		do:      func(ctx context.Context, _ *Change) error { return p.Cluster.RotateAuthority(ctx, in.Reason) },
	})
}

func nodeRequest(w http.ResponseWriter, r *http.Request) (node uint32, in NodeRequest, ok bool) {
	n, err := strconv.ParseUint(r.PathValue("node"), 10, 32)
	if err != nil || n == 0 {
		failWith(w, &bad{fmt.Sprintf("the node is %.40q", r.PathValue("node")), "name it by its number, from 1; `netbank cluster status` lists the nodes"})
		return 0, in, false
	}
	return uint32(n), in, body(w, r, &in)
}

// body reads the one JSON object of a request.
func body(w http.ResponseWriter, r *http.Request, into any) bool {
	text, err := io.ReadAll(http.MaxBytesReader(w, r.Body, LineBytesMax))
	if err == nil {
		err = strict(text, into)
	}
	if err != nil {
		failWith(w, &bad{err.Error(), fmt.Sprintf("send one JSON object of at most %d bytes, as docs/operator-api.yaml has it", LineBytesMax)})
	}
	return err == nil
}

func dryRun(r *http.Request) (bool, error) {
	q := r.URL.Query()
	switch v := q.Get("dryRun"); {
	case !q.Has("dryRun"), v == "0", v == "false":
		return false, nil
	case v == "1", v == "true":
		return true, nil
	default:
		return false, &bad{fmt.Sprintf("dryRun is %.40q", v), "say 1 or 0"}
	}
}

// reasonOf reads ?reason=, of verbs that were never asked for one.
func reasonOf(r *http.Request) (string, error) {
	reason := r.URL.Query().Get("reason")
	if reason == "" {
		return "no reason was given", nil
	}
	return reason, checkReason(reason)
}

// checkReason wants to know why: it is what the next person reads in the audit.
func checkReason(reason string) error {
	const remedy = "say in a few words why, for the audit; no customer's data"
	switch n := utf8.RuneCountInString(reason); {
	case strings.TrimSpace(reason) == "":
		return &bad{"the reason is missing", remedy}
	case n > ReasonRunesMax:
		return &bad{fmt.Sprintf("the reason has %d characters, of %d", n, ReasonRunesMax), remedy}
	case !utf8.ValidString(reason), strings.ContainsFunc(reason, unicode.IsControl):
		return &bad{"the reason holds control characters, or is not UTF-8", remedy}
	}
	return nil
}

// outcomeOf is an error in one word, for the audit.
func outcomeOf(err error) string { return problemOf(err).outcome }

type told struct {
	problem
	outcome string
}

// problemOf puts an error of a verb into the words of the port.
func problemOf(err error) told {
	say := func(status int, code, outcome, remedy string) told {
		return told{problem{Status: status, Code: code, Detail: plain(err), Remedy: remedy}, outcome}
	}
	var (
		unreadable *bad
		refused    *refusal
		elsewhere  *NotLeader
	)
	switch {
	case errors.As(err, &unreadable):
		t := say(http.StatusBadRequest, "invalid", "refused", unreadable.remedy)
		t.Detail = unreadable.text
		return t
	case errors.As(err, &refused):
		t := say(http.StatusConflict, "not-allowed", "refused", refused.remedy)
		if t.Detail = refused.text; errors.Is(err, ErrUnknownNode) {
			t.Status, t.Code = http.StatusNotFound, "unknown-node"
		}
		return t
	case errors.As(err, &elsewhere):
		t := say(http.StatusConflict, "not-leader", "refused", "ask again once an election is over; the cluster page says what is in its way")
		if t.Leader, t.Operator = uint32(elsewhere.Leader), elsewhere.Operator; elsewhere.Leader != 0 {
			t.Remedy = fmt.Sprintf("ask node %d", elsewhere.Leader)
		}
		if elsewhere.Operator != "" {
			t.Remedy = "ask with --operator " + elsewhere.Operator
		}
		return t
	case errors.Is(err, ErrAlone):
		return say(http.StatusConflict, "alone", "refused", "start it with --peer-addr")
	case errors.Is(err, ErrUnknownNode):
		return say(http.StatusNotFound, "unknown-node", "refused", "`netbank cluster status` lists the nodes")
	case errors.Is(err, ErrNotAllowed):
		return say(http.StatusConflict, "not-allowed", "refused", "try with ?dryRun=1, which says what would happen")
	case errors.Is(err, errBusy), errors.Is(err, cluster.ErrNoLeader), errors.Is(err, cluster.ErrOverloaded), errors.Is(err, cluster.ErrClosed):
		return say(http.StatusServiceUnavailable, "unavailable", "refused", "do it again in a moment")
	case errors.Is(err, ErrOutcomeUnknown), errors.Is(err, cluster.ErrUnknown), errors.Is(err, context.DeadlineExceeded):
		return say(http.StatusGatewayTimeout, "unknown", "unknown", "look at the cluster's nodes, and do it again if need be: done twice it is as if done once, and a token that nobody has seen ends by itself")
	}
	return say(http.StatusInternalServerError, "failed", "failed", "read the node's log")
}

func failWith(w http.ResponseWriter, err error) {
	t := problemOf(err)
	if t.Status == http.StatusServiceUnavailable {
		w.Header().Set("Retry-After", "1")
	}
	fail(w, t.problem)
}
