package journal

import (
	"errors"
	"fmt"
	"sync/atomic"

	"netbank/cluster/journal/command"
)

// Errors of the journal. Each means that this node must not go on with what it was given.
var (
	// ErrVersion says that an entry or a snapshot holds what this program does not know.
	ErrVersion = errors.New("journal: written by a newer version of netbank; run that version or a later one on this node")
	// ErrStore says that the Store failed. The state in memory is then unusable: end the process and rebuild it
	// from the snapshot and the log.
	ErrStore = errors.New("journal: the store failed; restart the node to rebuild its state from snapshot and log")
)

// Version is the Batch.version that this program writes. It reads this one only.
const Version = 1

// stampMax is the end of the year 9999. A stamp beyond it is taken for the time before.
const stampMax Millis = 253_402_300_799_999

// Machine is the replicated state machine: one per node, fed with every committed entry in order.
//
// It is not safe for concurrent use. Reads change nothing, so several may run at once as long as Apply, ReadFrom and
// Live are kept away (a sync.RWMutex does). What a read or a Result gives is a copy.
type Machine struct {
	store  Store
	limits Limits
	fault  atomic.Pointer[error] // a read that fails must be known to Apply

	tables

	// What Apply uses while it works on one command.
	changes []Change
	found   found
	key     []byte
	value   []byte
	load    func([]byte) // fills value; made once, since a closure for each Get would be garbage
}

// tables are the live set: all that is not in the Store.
type tables struct {
	now    Millis
	open   openTable
	access accessTable
	seen   seenTable

	partners     []*partnerRecord // by id
	partnerIndex map[PartnerID]*partnerRecord
	fingerprints map[[32]byte]PartnerID
	keys         []Key // by id

	contradictions     []Contradiction
	contradictionIndex map[said]int

	members *Membership // replaced as a whole
	wishes  *Wishes     // replaced as a whole
	policy  *Policy     // replaced as a whole
	acts    []Act       // the oldest first; an entry is never written to
	line    lineState

	limit uint32 // see FoundLimit

	counters
}

// counters are the numbers of the live set.
type counters struct {
	finished       [StateReversing + 1]uint64 // payments in the Store
	idempotency    uint64                     // keys in the Store
	outbox         uint64                     // notices in the Store
	noticeSequence uint64                     // last given
	references     uint64                     // last given
	dropped        uint64                     // contradictions that found the list full
	stan           uint32                     // last given
	epoch          uint16
}

// partnerRecord is a partner and how much of its limits it uses. The slices in Partner are never written to.
type partnerRecord struct {
	Partner
	open   int
	outbox uint64
}

// found is the payment that a command is about: a copy of its record and texts.
type found struct {
	slot uint32 // 0 for a finished payment
	rec  paymentRecord
	text []byte
}

func (f *found) payment() Payment { return f.rec.payment(f.text) }

// New gives an empty journal over an empty store. A journal with a past is read by ReadFrom into a new Machine, with
// the store as it was when that snapshot was taken.
func New(store Store, limits Limits) *Machine {
	limits = limits.within(DefaultLimits())
	m := &Machine{store: store, limits: limits, tables: newTables(limits)}
	m.load = func(value []byte) { m.value = append(m.value[:0], value...) }
	return m
}

func newTables(limits Limits) tables {
	return tables{
		open:               newOpenTable(),
		access:             newAccessTable(),
		seen:               newSeenTable(limits.CommandIDs),
		partnerIndex:       make(map[PartnerID]*partnerRecord),
		fingerprints:       make(map[[32]byte]PartnerID),
		contradictionIndex: make(map[said]int),
		members:            newMembership(),
		wishes:             new(Wishes),
		policy:             new(Policy),
	}
}

// Apply applies one Raft entry. entryTerm is the term of the entry itself, which need not be the one that its batch
// was packed in (rule 3). One Result per command, in order, and a Change for each change of a payment are appended to
// the two slices, which may be reused.
//
// An error means that the entry must not be passed over: the batch has a version, or holds a command, that this
// program does not know (ErrVersion; nothing was applied), or the Store failed (ErrStore; the Machine is unusable).
// Whatever else is wrong with a command is its Result.
func (m *Machine) Apply(entryTerm uint64, b *Batch, results []Result, changes []Change) ([]Result, []Change, error) {
	if err := m.Err(); err != nil {
		return results, changes, err
	}
	if err := understood(b); err != nil {
		return results, changes, err
	}
	if stamp := Millis(b.StampMs); stamp > m.now && stamp <= stampMax {
		m.now = stamp
	}
	m.changes = changes
	for _, c := range b.Commands {
		results = append(results, Result{})
		out := &results[len(results)-1]
		if len(b.Commands) > m.limits.BatchCommands {
			out.Verdict = BadCommand
			continue
		}
		m.once(entryTerm == b.Term, c, out)
		if m.fault.Load() != nil {
			break
		}
	}
	changes, m.changes = m.changes, nil
	return results, changes, m.Err()
}

// understood refuses what a newer program wrote. A command without any body is a proposer's fault and no
// reason to stop the bank; one with a body that is unknown here is.
func understood(b *Batch) error {
	if b == nil {
		return fmt.Errorf("%w: there is no batch", ErrVersion)
	}
	if b.Version != Version {
		return fmt.Errorf("%w: the batch has version %d, known is %d", ErrVersion, b.Version, Version)
	}
	for i, c := range b.Commands {
		if c.GetBody() == nil && c != nil && len(c.ProtoReflect().GetUnknown()) > 0 {
			return fmt.Errorf("%w: command %d of the batch is of an unknown kind", ErrVersion, i)
		}
	}
	return nil
}

// once lets a command take effect once. A refusal is remembered too: what was once answered with a refusal, which
// may have told a customer "not charged", cannot happen later by a copy of the command that was under way.
// Only a stale term is not remembered, since the same command is offered again under the new one.
func (m *Machine) once(termHolds bool, c *Command, out *Result) {
	if len(c.GetId()) != len(CommandID{}) {
		out.Verdict = BadCommand
		return
	}
	id := CommandID(c.Id)
	if verdict, ok := m.seen.find(id); ok {
		m.subject(c, out)
		if out.Verdict = verdict; verdict == Done {
			out.Verdict = Repeated
		}
		return
	}
	m.command(termHolds, c, out)
	if out.Verdict != StaleTerm {
		m.seen.add(id, out.Verdict)
	}
}

func (m *Machine) command(termHolds bool, c *Command, out *Result) {
	switch body := c.Body.(type) {
	case *command.Command_PutPartner:
		m.putPartner(body.PutPartner, out)
	case *command.Command_PutCustomer:
		m.putCustomer(body.PutCustomer, out)
	case *command.Command_PutKey:
		m.putKey(body.PutKey, out)
	case *command.Command_CreatePayment:
		m.create(body.CreatePayment, out)
	case *command.Command_CancelPayment:
		m.cancel(body.CancelPayment, out)
	case *command.Command_Authorise:
		m.authorise(termHolds, body.Authorise, out)
	case *command.Command_NotSent:
		m.notSent(body.NotSent, out)
	case *command.Command_Settle:
		m.settle(body.Settle, out)
	case *command.Command_MarkInDoubt:
		m.markInDoubt(body.MarkInDoubt, out)
	case *command.Command_BeginReversal:
		m.beginReversal(body.BeginReversal, out)
	case *command.Command_Reversed:
		m.reversed(body.Reversed, out)
	case *command.Command_Expire:
		m.expire(body.Expire, out)
	case *command.Command_Attempt:
		m.attempt(body.Attempt, out)
	case *command.Command_SignIn:
		m.signIn(body.SignIn, out)
	case *command.Command_EndSession:
		m.endSession(body.EndSession, out)
	case *command.Command_Unlock:
		m.unlock(body.Unlock, out)
	case *command.Command_FactorPassed:
		m.factorPassed(body.FactorPassed, out)
	case *command.Command_ChangePassword:
		m.changePassword(body.ChangePassword, out)
	case *command.Command_OutboxDone:
		m.outboxDone(body.OutboxDone, out)
	case *command.Command_Prune:
		m.prune(body.Prune, out)
	case *command.Command_Contradiction:
		m.contradiction(body.Contradiction, out)
	case *command.Command_BumpEpoch:
		m.bumpEpoch(body.BumpEpoch, out)
	default:
		m.clusterCommand(termHolds, c, out)
	}
}

// clusterCommand is command for what the membership is changed by, and what operators wish for.
func (m *Machine) clusterCommand(termHolds bool, c *Command, out *Result) {
	switch body := c.Body.(type) {
	case *command.Command_PutAuthority:
		m.putAuthority(body.PutAuthority, out)
	case *command.Command_IssueFrom:
		m.issueFrom(body.IssueFrom, out)
	case *command.Command_DropAuthority:
		m.dropAuthority(body.DropAuthority, out)
	case *command.Command_PutToken:
		m.putToken(body.PutToken, out)
	case *command.Command_Enrol:
		m.enrol(body.Enrol, out)
	case *command.Command_PutNode:
		m.putNode(body.PutNode, out)
	case *command.Command_RemoveNode:
		m.removeNode(body.RemoveNode, out)
	case *command.Command_PutWish:
		m.putWish(body.PutWish, out)
	case *command.Command_ApproveWish:
		m.approveWish(body.ApproveWish, out)
	case *command.Command_LapseWishes:
		m.lapseWishes()
	case *command.Command_DrainNode:
		m.drainNode(body.DrainNode, out)
	case *command.Command_Note:
		m.note(body.Note, out)
	case *command.Command_PutPolicy:
		m.putPolicy(body.PutPolicy, out)
	default:
		m.admissionCommand(termHolds, c, out)
	}
}

// subject fills in what a repeated command is about, as it stands now. Commands about the membership and
// the wishes have no such answer: who sent one reads Membership or Wishes.
func (m *Machine) subject(c *Command, out *Result) {
	var payment []byte
	var customer uint64
	switch body := c.Body.(type) {
	case *command.Command_CreatePayment:
		payment = body.CreatePayment.GetPaymentId()
	case *command.Command_CancelPayment:
		payment = body.CancelPayment.GetPaymentId()
	case *command.Command_Authorise:
		payment, customer = body.Authorise.GetPaymentId(), body.Authorise.GetCustomer()
	case *command.Command_NotSent:
		payment = body.NotSent.GetPaymentId()
	case *command.Command_Settle:
		payment = body.Settle.GetPaymentId()
	case *command.Command_MarkInDoubt:
		payment = body.MarkInDoubt.GetPaymentId()
	case *command.Command_BeginReversal:
		payment = body.BeginReversal.GetPaymentId()
	case *command.Command_Reversed:
		payment = body.Reversed.GetPaymentId()
	case *command.Command_Contradiction:
		payment = body.Contradiction.GetPaymentId()
	case *command.Command_Arrive:
		payment = body.Arrive.GetPaymentId()
	case *command.Command_Enter:
		payment = body.Enter.GetPaymentId()
	case *command.Command_Attempt:
		customer = body.Attempt.GetCustomer()
	case *command.Command_SignIn:
		customer = body.SignIn.GetCustomer()
	case *command.Command_EndSession:
		customer = body.EndSession.GetCustomer()
	case *command.Command_Unlock:
		customer = body.Unlock.GetCustomer()
	case *command.Command_FactorPassed:
		customer = body.FactorPassed.GetCustomer()
	case *command.Command_ChangePassword:
		customer = body.ChangePassword.GetCustomer()
	case *command.Command_SendCode:
		customer = body.SendCode.GetCustomer()
	case *command.Command_PutPasskey:
		customer = body.PutPasskey.GetCustomer()
	case *command.Command_DropPasskey:
		customer = body.DropPasskey.GetCustomer()
	case *command.Command_ResetFactors:
		customer = body.ResetFactors.GetCustomer()
	case *command.Command_ReplacePassword:
		customer = body.ReplacePassword.GetCustomer()
	}
	if m.find(payment, out) {
		out.Payment = m.found.payment()
	}
	if slot, ok := m.access.index[CustomerID(customer)]; ok {
		out.Access = m.access.cells.at(slot).access()
	}
}

// find brings the payment into m.found, or answers that there is none.
func (m *Machine) find(id []byte, out *Result) bool {
	if len(id) != len(PaymentID{}) {
		out.Verdict = BadCommand
		return false
	}
	f := &m.found
	if slot, ok := m.open.index[PaymentID(id)]; ok {
		f.slot, f.rec = slot, *m.open.cells.at(slot)
		f.text = m.open.text(f.text[:0], &f.rec)
		return true
	}
	if !m.get(m.paymentKey(PaymentID(id))) {
		out.Verdict = NotFound
		return false
	}
	rec, text, ok := readRecord(m.value)
	if !ok {
		m.fail(fmt.Errorf("payment %v is damaged", PaymentID(id)))
		return false
	}
	f.slot, f.rec, f.text = 0, rec, append(f.text[:0], text...)
	return true
}

// answer shows the found payment as it stands now.
func (m *Machine) answer(v Verdict, out *Result) {
	out.Verdict, out.Payment = v, m.found.payment()
}

// move changes the state of the found payment, tells of it, and puts it away when the state is final.
func (m *Machine) move(to State, reason Reason) {
	f := &m.found
	from := f.rec.state
	m.leaveLine()
	m.open.move(f.slot, f.rec.customer, from, to)
	f.rec.state, f.rec.reason, f.rec.changed = to, reason, m.now
	f.rec.version++
	*m.open.cells.edit(f.slot) = f.rec
	m.changes = append(m.changes, Change{Payment: f.rec.id, From: from, To: to, Version: f.rec.version})
	m.announce(&f.rec)
	if !to.Final() {
		return
	}
	key := m.paymentKey(f.rec.id)
	m.value = appendRecord(m.value[:0], &f.rec, f.text)
	m.set(key, m.value)
	m.remember(&f.rec)
	m.open.remove(f.slot)
	m.finished[to]++
	if p := m.partnerIndex[f.rec.partner]; p != nil {
		p.open--
	}
}

// The keys of the Store. The first byte says what stands there.
const (
	keyCustomer    = 'c' // + id: a customer
	keyFactors     = 'f' // + customer: passkeys, and the code that was sent last
	keyHistory     = 'h' // + customer + grant, the newest first: the id of a finished payment
	keyIdempotency = 'i' // + key: the payment created under it
	keyNotice      = 'o' // + partner + sequence: a notice
	keyPayment     = 'p' // + id, which begins with a time: a finished payment
	keyTime        = 't' // + time + key: nothing; the idempotency keys by time
	keyUsername    = 'u' // + name: a customer's id
)

func (m *Machine) paymentKey(id PaymentID) []byte {
	m.key = append(append(m.key[:0], keyPayment), id[:]...)
	return m.key
}

func (m *Machine) get(key []byte) bool {
	ok, err := m.store.Get(key, m.load)
	if err != nil {
		m.fail(err)
	}
	return ok && err == nil
}

func (m *Machine) set(key, value []byte) {
	if err := m.store.Set(key, value); err != nil {
		m.fail(err)
	}
}

func (m *Machine) delete(key []byte) {
	if err := m.store.Delete(key); err != nil {
		m.fail(err)
	}
}

// fail remembers the first fault of the store. Apply stops at once and for good: a state that has lost
// a write may say something else than the other nodes'.
func (m *Machine) fail(err error) {
	fault := fmt.Errorf("%w: %w", ErrStore, err)
	m.fault.CompareAndSwap(nil, &fault)
}

// Err gives ErrStore, with its cause, once the Store has failed, and nil before. It may be called at any time.
func (m *Machine) Err() error {
	if fault := m.fault.Load(); fault != nil {
		return *fault
	}
	return nil
}

// Now gives the journal's time: the latest stamp applied.
func (m *Machine) Now() Millis { return m.now }

// bumpEpoch makes the references given from here on differ from all earlier ones, also from those that were given
// after the backup from which the journal was restored, or after an earlier restore of the same backup.
func (m *Machine) bumpEpoch(c *command.BumpEpoch, out *Result) {
	if c.GetReferencesAbove() > referenceMax {
		out.Verdict = BadCommand
		return
	}
	if m.epoch >= rrnEpochMax {
		out.Verdict = TooMany
		return
	}
	m.epoch++
	m.references = max(m.references, c.GetReferencesAbove())
}
