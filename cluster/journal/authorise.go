package journal

import "netbank/cluster/journal/command"

// authorise is the grant: consent, seat and wire identity in one step. Its checks stand in the order in which their
// answers are of use to the proposer; each of them is the last word, whatever was checked before on the way here.
func (m *Machine) authorise(termHolds bool, c *command.Authorise, out *Result) {
	customer := CustomerID(c.GetCustomer())
	slot, known := m.access.index[customer]
	if known {
		out.Access = m.access.cells.at(slot).access()
	}
	if !m.find(c.GetPaymentId(), out) {
		return
	}
	r := &m.found.rec
	proof := Proof{c.GetFactor(), c.GetFactorStep(), c.GetCredential(), c.GetSignCount()}
	if c.Node == 0 || c.Incarnation == 0 || !m.whole(&proof) {
		m.answer(BadCommand, out)
		return
	}
	if r.state != StateReceived {
		// Rule 1: the executor named first is the only one. Whoever comes later follows its outcome.
		if r.reference != 0 && r.customer == customer {
			m.answer(Attached, out)
		} else {
			m.answer(NotAllowed, out)
		}
		return
	}
	switch {
	case r.expires <= m.now || m.references >= referenceMax:
		m.answer(NotAllowed, out)
	case !termHolds: // rule 3
		m.answer(StaleTerm, out)
	case !known:
		m.answer(NotFound, out)
	case !m.inForce(slot, c):
		m.answer(NoSession, out)
	case !m.consents(c):
		m.answer(ConsentDiffers, out)
	default:
		if verdict := m.proves(slot, Subject(r.id), &proof); verdict != Done {
			m.answer(verdict, out)
			return
		}
		m.grant(slot, c, &proof, out)
	}
}

// inForce tells whether the session that confirms is the customer's newest, not ended and not too old (OutMeansOut).
func (m *Machine) inForce(slot uint32, c *command.Authorise) bool {
	a := m.access.cells.at(slot).access()
	return a.InForce(Epoch(c.SessionEpoch), m.now) && m.now < Millis(c.SessionExpiresMs)
}

// consents tells whether the customer saw this payment, and may debit that account (BoundConsent).
func (m *Machine) consents(c *command.Authorise) bool {
	f := &m.found
	account, name := consentTexts(f.text)
	if c.AmountMinor != f.rec.minor || c.Currency != string(f.rec.currency[:]) ||
		c.CreditorAccount != string(account) || c.CreditorName != string(name) {
		return false
	}
	if asked := f.rec.debtor.chars[:f.rec.debtor.length]; len(asked) > 0 && string(asked) != c.DebtorAccount {
		return false
	}
	return len(c.DebtorAccount) <= len(f.rec.debtor.chars) &&
		m.hasAccount(CustomerID(c.Customer), c.DebtorAccount, c.Currency)
}

// grant assigns the wire identity and the executor (rules 1 and 5). No second grant of this payment can follow, and no
// reference is ever given twice.
func (m *Machine) grant(slot uint32, c *command.Authorise, proof *Proof, out *Result) {
	m.spend(slot, proof)
	out.Access = m.access.cells.at(slot).access()

	r := &m.found.rec
	m.stan = m.stan%stanMax + 1
	m.references++
	r.stan, r.reference, r.epoch = m.stan, m.references, m.epoch
	r.granted = m.now
	r.node, r.incarnation = NodeID(c.Node), c.Incarnation
	r.customer, r.sessionEpoch = CustomerID(c.Customer), Epoch(c.SessionEpoch)
	r.debtor.length = uint8(copy(r.debtor.chars[:], c.DebtorAccount))
	m.move(StateAuthorised, ReasonNone)
	m.answer(Done, out)
}
