package journal

import (
	"encoding/binary"
	"errors"
	"math"
	"strconv"

	"netbank/cluster/journal/command"
)

// Proof is a second factor that a node has checked, and what makes it good for once. The journal has the last word on that: a time step, a code or
// a count that was spent is refused, whichever nodes were asked at once.
type Proof struct {
	Factor     command.Factor
	Step       int64  // TOTP: the time step; message: the number of the code that was sent
	Credential []byte // passkey: its id
	SignCount  uint32 // passkey: of the assertion
}

// TOTP is the proof of a one-time code of the customer's own authenticator.
func TOTP(step int64) Proof { return Proof{Factor: command.Factor_FACTOR_TOTP, Step: step} }

// Subject is what a code that was sent is good for: a payment's id, or 16 bytes that stand for a change of the customer's factors.
type Subject [16]byte

// Passkey is a copy of a passkey's record.
type Passkey struct {
	ID        []byte // WebAuthn's credential id
	PublicKey []byte // COSE_Key
	SignCount uint32 // of the last assertion; 0 and 0: the authenticator keeps none
	Name      string
	Added     Millis
	Used      Millis // 0: never
}

// factors is what the Store holds of a customer's second factors beside the record of the import: it survives that being replaced.
type factors struct {
	sent     sentCode
	passkeys []Passkey
}

// sentCode is the code that was sent last. Its digits are not here: they travel sealed with the page that asks for them.
type sentCode struct {
	number  int64 // 0: none, or it was used
	subject Subject
	at      Millis
	times   uint64 // that codes were sent for the subject
	since   Millis // when the hour of the next count began
	hourly  uint64 // codes within that hour
}

// proofOf opens the proof that a command carries.
func proofOf(p *command.Proof) Proof {
	return Proof{p.GetFactor(), p.GetStep(), p.GetCredential(), p.GetSignCount()}
}

// whole tells whether a proof has what its factor asks for.
func (m *Machine) whole(p *Proof) bool {
	switch p.Factor {
	case command.Factor_FACTOR_TOTP, command.Factor_FACTOR_MESSAGE:
		return p.Step >= 1 && len(p.Credential) == 0 && p.SignCount == 0
	case command.Factor_FACTOR_PASSKEY:
		return p.Step == 0 && len(p.Credential) >= 1 && len(p.Credential) <= m.limits.CredentialBytes
	}
	return false
}

// proves tells whether a proof is still good, and for this subject: Done, or why not.
func (m *Machine) proves(slot uint32, subject Subject, p *Proof) Verdict {
	access := m.access.cells.at(slot)
	if p.Factor == command.Factor_FACTOR_TOTP {
		if p.Step <= access.step {
			return FactorUsed
		}
		return Done
	}
	f := m.factorsOf(access.id)
	if p.Factor == command.Factor_FACTOR_MESSAGE {
		if s := &f.sent; s.number != p.Step || s.subject != subject || m.now >= s.at+CodeFor {
			return FactorUsed
		}
		return Done
	}
	k := f.passkey(p.Credential)
	if k == nil || !counts(k.SignCount, p.SignCount) {
		return FactorRefused
	}
	return Done
}

// counts tells whether a signature counter goes on. One that does not belongs to a copy of the authenticator's key (WebAuthn level 3, 6.1.1);
// authenticators that keep none, as those do whose passkeys are on several devices, always say 0.
func counts(last, now uint32) bool { return now > last || now == 0 && last == 0 }

// spend makes a proof that was found good unusable, and forgives the attempts at codes.
func (m *Machine) spend(slot uint32, p *Proof) {
	access := m.access.cells.edit(slot)
	access.clear(LaneOneTimeCode)
	if p.Factor == command.Factor_FACTOR_TOTP {
		access.step = p.Step
		return
	}
	id := access.id
	f := m.factorsOf(id)
	if p.Factor == command.Factor_FACTOR_MESSAGE {
		f.sent.number = 0
	} else if k := f.passkey(p.Credential); k != nil {
		k.SignCount, k.Used = p.SignCount, m.now
	}
	m.keepFactors(id, &f)
}

func (f *factors) passkey(id []byte) *Passkey {
	for i := range f.passkeys {
		if string(f.passkeys[i].ID) == string(id) {
			return &f.passkeys[i]
		}
	}
	return nil
}

// signedIn finds the customer of a command that only a session in force may give.
func (m *Machine) signedIn(customer, epoch uint64, out *Result) (slot uint32, ok bool) {
	slot, ok = m.access.index[CustomerID(customer)]
	if !ok {
		out.Verdict = NotFound
		return 0, false
	}
	out.Access = m.access.cells.at(slot).access()
	if !out.Access.InForce(Epoch(epoch), m.now) {
		out.Verdict = NoSession
		return 0, false
	}
	return slot, true
}

// sendCode records that a code goes out, before it does, and holds the customer to a pace: each costs the bank money, and whoever has a password must
// not fill a telephone with them.
func (m *Machine) sendCode(c *command.SendCode, out *Result) {
	if len(c.GetSubject()) != len(Subject{}) || c.Number < 1 {
		out.Verdict = BadCommand
		return
	}
	slot, ok := m.signedIn(c.Customer, c.SessionEpoch, out)
	if !ok {
		return
	}
	if out.Access.Lanes[LaneOneTimeCode].LockedUntil(m.now) != 0 {
		out.Verdict = Locked
		return
	}
	id := m.access.cells.at(slot).id
	f := m.factorsOf(id)
	s := &f.sent
	if subject := Subject(c.Subject); s.subject != subject {
		s.subject, s.times = subject, 0
	}
	if m.now >= s.since+hour {
		s.since, s.hourly = m.now, 0
	}
	if s.times >= CodesForOne || s.hourly >= CodesPerHour || s.times > 0 && m.now < s.at+CodeEvery {
		out.Verdict = TooMany
		return
	}
	s.number, s.at = c.Number, m.now
	s.times++
	s.hourly++
	m.keepFactors(id, &f)
}

// putPasskey enrols a passkey. The proof is checked and spent with it, in one step.
func (m *Machine) putPasskey(c *command.PutPasskey, out *Result) {
	p := proofOf(c.GetProof())
	if len(c.GetSubject()) != len(Subject{}) || !m.whole(&p) || !readable(c.Name, 1, m.limits.LabelRunes) ||
		len(c.Credential) < 1 || len(c.Credential) > m.limits.CredentialBytes || len(c.PublicKey) < 1 || len(c.PublicKey) > m.limits.PublicKeyBytes {
		out.Verdict = BadCommand
		return
	}
	slot, ok := m.signedIn(c.Customer, c.SessionEpoch, out)
	if !ok {
		return
	}
	if out.Verdict = m.proves(slot, Subject(c.Subject), &p); out.Verdict != Done {
		return
	}
	id := m.access.cells.at(slot).id
	f := m.factorsOf(id)
	switch {
	case f.passkey(c.Credential) != nil:
		out.Verdict = Exists
		return
	case len(f.passkeys) >= m.limits.Passkeys:
		out.Verdict = TooMany
		return
	}
	m.spend(slot, &p)
	f = m.factorsOf(id)
	f.passkeys = append(f.passkeys, Passkey{ID: c.Credential, PublicKey: c.PublicKey, SignCount: c.SignCount, Name: c.Name, Added: m.now})
	m.keepFactors(id, &f)
	out.Access = m.access.cells.at(slot).access()
}

// dropPasskey takes a passkey away, but for the last factor of a customer: then only who supports customers can (ResetFactors).
func (m *Machine) dropPasskey(c *command.DropPasskey, out *Result) {
	p := proofOf(c.GetProof())
	if len(c.GetSubject()) != len(Subject{}) || !m.whole(&p) || len(c.Credential) < 1 || len(c.Credential) > m.limits.CredentialBytes {
		out.Verdict = BadCommand
		return
	}
	slot, ok := m.signedIn(c.Customer, c.SessionEpoch, out)
	if !ok {
		return
	}
	if out.Verdict = m.proves(slot, Subject(c.Subject), &p); out.Verdict != Done {
		return
	}
	id := m.access.cells.at(slot).id
	f := m.factorsOf(id)
	if f.passkey(c.Credential) == nil {
		out.Verdict = NotFound
		return
	}
	if record, ok := m.customer(id); ok && len(f.passkeys) == 1 && len(record.TOTPSealed) == 0 && len(record.PhoneSealed) == 0 {
		out.Verdict = NotAllowed
		return
	}
	m.spend(slot, &p)
	f = m.factorsOf(id)
	kept := f.passkeys[:0]
	for i := range f.passkeys {
		if string(f.passkeys[i].ID) != string(c.Credential) {
			kept = append(kept, f.passkeys[i])
		}
	}
	f.passkeys = kept
	m.keepFactors(id, &f)
	out.Access = m.access.cells.at(slot).access()
}

// resetFactors is what support does for who has lost a passkey, or fears for it.
func (m *Machine) resetFactors(c *command.ResetFactors, out *Result) {
	if !m.signed(c.GetReason(), c.GetOperator()) {
		out.Verdict = BadCommand
		return
	}
	r := m.signing(c.Customer, out)
	if r == nil {
		return
	}
	r.ended = true
	for lane := range r.failures {
		r.clear(lane)
	}
	id := r.id
	f := m.factorsOf(id)
	f.passkeys, f.sent.number = nil, 0
	m.keepFactors(id, &f)
	out.Access = r.access()
	m.enter(Act{Verb: VerbReset, Operator: string([]byte(c.Operator)), Reason: string([]byte(c.Reason)), Detail: "customer " + strconv.FormatUint(uint64(id), 10)})
}

func appendFactorsKey(to []byte, id CustomerID) []byte {
	return binary.BigEndian.AppendUint64(append(to, keyFactors), uint64(id))
}

var errFactors = errors.New("the record of a customer's factors is damaged")

// factorsFormat stands first in every stored record.
const factorsFormat = 1

func (m *Machine) keepFactors(id CustomerID, f *factors) {
	m.key = appendFactorsKey(m.key[:0], id)
	m.value = appendFactors(m.value[:0], f)
	m.set(m.key, m.value)
}

// factorsOf reads the record, within Apply.
func (m *Machine) factorsOf(id CustomerID) (f factors) {
	m.key = appendFactorsKey(m.key[:0], id)
	if !m.get(m.key) {
		return f
	}
	f, ok := readFactors(m.value)
	if !ok {
		m.fail(errFactors)
	}
	return f
}

func appendFactors(to []byte, f *factors) []byte {
	to = append(to, factorsFormat)
	to = append(to, f.sent.subject[:]...)
	for _, v := range [...]uint64{uint64(f.sent.number), uint64(f.sent.at), f.sent.times, uint64(f.sent.since), f.sent.hourly, uint64(len(f.passkeys))} {
		to = binary.AppendUvarint(to, v)
	}
	for i := range f.passkeys {
		k := &f.passkeys[i]
		to = appendText(appendText(appendText(to, k.ID), k.PublicKey), k.Name)
		for _, v := range [...]uint64{uint64(k.SignCount), uint64(k.Added), uint64(k.Used)} {
			to = binary.AppendUvarint(to, v)
		}
	}
	return to
}

// readFactors copies all that it gives.
func readFactors(b []byte) (f factors, ok bool) {
	p := parser{rest: b}
	if p.byte() != factorsFormat {
		return f, false
	}
	copy(f.sent.subject[:], p.bytes(len(f.sent.subject)))
	f.sent.number, f.sent.at = int64(p.atMost(math.MaxInt64)), p.millis()
	f.sent.times, f.sent.since, f.sent.hourly = p.uint(), p.millis(), p.uint()
	for n := p.atMost(uint64(len(b))); n > 0 && !p.bad; n-- {
		k := Passkey{ID: append([]byte(nil), p.text(storedTextMax)...), PublicKey: append([]byte(nil), p.text(storedTextMax)...), Name: string(p.text(storedTextMax))}
		k.SignCount, k.Added, k.Used = uint32(p.atMost(math.MaxUint32)), p.millis(), p.millis()
		f.passkeys = append(f.passkeys, k)
	}
	return f, !p.bad && len(p.rest) == 0
}

// factorsCommand is command for what a customer's factors are changed by.
func (m *Machine) factorsCommand(c *Command, out *Result) {
	switch body := c.Body.(type) {
	case *command.Command_SendCode:
		m.sendCode(body.SendCode, out)
	case *command.Command_PutPasskey:
		m.putPasskey(body.PutPasskey, out)
	case *command.Command_DropPasskey:
		m.dropPasskey(body.DropPasskey, out)
	case *command.Command_ResetFactors:
		m.resetFactors(body.ResetFactors, out)
	case *command.Command_ReplacePassword:
		m.replacePassword(body.ReplacePassword, out)
	default:
		out.Verdict = BadCommand
	}
}
