package partner

import (
	"time"

	"github.com/valyala/fasthttp"

	"netbank/cluster/gate"
	"netbank/cluster/journal"
)

// discoveryAge is how long an answer of /discovery may be kept by caches, in seconds. The path is open to everyone, so caches
// must be able to carry it on the day everyone asks.
const discoveryAge = "public, max-age=5"

// discoveryStatus says whether payments get through.
func (a *API) discoveryStatus(ctx *fasthttp.RequestCtx) {
	status, reason := a.serviceStatus()
	b := append(make([]byte, 0, 192), `{"status":"`...)
	b = append(b, status...)
	b = append(b, '"')
	if reason != gate.Admitted {
		b = append(b, `,"reason":"`...)
		b = append(b, reason.String()...)
		b = append(b, '"')
	}
	b = append(b, `,"asOf":"`...)
	b = appendTime(b, journal.Millis(a.clock().UnixMilli()))
	writePublic(ctx, append(b, `"}`...))
}

// serviceStatus reads the gate's level for what a payment needs: a sign-in, then a confirmation.
func (a *API) serviceStatus() (string, gate.Reason) {
	now := a.clock()
	for _, o := range a.outages {
		if !now.Before(o.Start) && now.Before(o.End) {
			return "SCHEDULED_OUTAGE", gate.Admitted
		}
	}
	if r, refused := a.bank.Refused(gate.Confirm); refused {
		switch r.Reason {
		case gate.NoLeader, gate.Breaker:
			return "UNAVAILABLE", r.Reason
		case gate.Stalled, gate.Plan:
			return "PARTIAL_FAILURE", r.Reason
		}
		return "BUSY", r.Reason
	}
	if r, refused := a.bank.Refused(gate.SignIn); refused {
		return "BUSY", r.Reason
	}
	return "OK", gate.Admitted
}

func (a *API) discoveryOutages(ctx *fasthttp.RequestCtx) {
	now := a.clock()
	b := append(make([]byte, 0, 1024), `{"outages":[`...)
	first := true
	for _, o := range a.outages {
		if !now.Before(o.End) {
			continue
		}
		if !first {
			b = append(b, ',')
		}
		first = false
		b = append(b, `{"start":"`...)
		b = o.Start.UTC().AppendFormat(b, time.RFC3339)
		b = append(b, `","end":"`...)
		b = o.End.UTC().AppendFormat(b, time.RFC3339)
		b = append(b, `","summary":`...)
		b = append(appendJSON(b, o.Summary), '}')
	}
	b = append(b, `],"asOf":"`...)
	b = appendTime(b, journal.Millis(now.UnixMilli()))
	writePublic(ctx, append(b, `"}`...))
}

func writePublic(ctx *fasthttp.RequestCtx, body []byte) {
	writeJSON(ctx, body)
	ctx.Response.Header.Set(fasthttp.HeaderCacheControl, discoveryAge)
}
