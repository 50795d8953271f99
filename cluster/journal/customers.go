package journal

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"

	"netbank/cluster/journal/command"
)

// InForce tells whether a session of that epoch can still authorise payments: it is the customer's newest, it was
// not ended, and it is younger than SessionMax.
func (a Access) InForce(epoch Epoch, now Millis) bool {
	return epoch != 0 && epoch == a.Epoch && !a.Ended && now < a.SignedIn+SessionMax
}

// LockedUntil gives the time until which the lane refuses attempts; 0 if it does not at the given time.
func (l Lane) LockedUntil(now Millis) Millis {
	if until := l.LastAttempt + LockFor; l.Failures >= LockAfter && now < until {
		return until
	}
	return 0
}

// signing finds a customer's sign-in state for writing.
func (m *Machine) signing(customer uint64, out *Result) *accessRecord {
	slot, ok := m.access.index[CustomerID(customer)]
	if !ok {
		out.Verdict = NotFound
		return nil
	}
	return m.access.cells.edit(slot)
}

// attempt counts a try at a factor before anyone checks it (rule 9): however many nodes try in parallel, the log
// puts their tries in a row, and the sixth is refused before it is compared with anything.
func (m *Machine) attempt(c *command.Attempt, out *Result) {
	lane := LaneUnknownDevice
	switch {
	case c.GetFactor() == command.Factor_FACTOR_TOTP, c.GetFactor() == command.Factor_FACTOR_MESSAGE, c.GetFactor() == command.Factor_FACTOR_PASSKEY:
		lane = LaneOneTimeCode
	case c.GetFactor() != command.Factor_FACTOR_PASSWORD:
		out.Verdict = BadCommand
		return
	case c.GetKnownDevice():
		lane = LaneKnownDevice
	}
	r := m.signing(c.GetCustomer(), out)
	if r == nil {
		return
	}
	if r.failures[lane] >= LockAfter {
		if (Lane{r.failures[lane], r.last[lane]}).LockedUntil(m.now) != 0 {
			// Whoever guesses one-time codes holds a session. It is not the customer's any more.
			r.ended = r.ended || lane == LaneOneTimeCode
			out.Verdict, out.Access = Locked, r.access()
			return
		}
		r.failures[lane] = 0
	}
	r.failures[lane]++
	r.last[lane] = m.now
	out.Access = r.access()
}

// signIn: the password was right. The new session replaces the old one.
func (m *Machine) signIn(c *command.SignIn, out *Result) {
	r := m.signing(c.GetCustomer(), out)
	if r == nil {
		return
	}
	r.begin(m.now, c.GetKnownDevice())
	out.Access = r.access()
}

// begin puts a new session in force. The password that it took is no failed attempt.
func (r *accessRecord) begin(now Millis, knownDevice bool) {
	r.epoch++
	r.signedIn, r.ended = now, false
	if knownDevice {
		r.clear(LaneKnownDevice)
	} else {
		r.clear(LaneUnknownDevice)
	}
}

// endSession ends that session and no later one.
func (m *Machine) endSession(c *command.EndSession, out *Result) {
	r := m.signing(c.GetCustomer(), out)
	if r == nil {
		return
	}
	if r.epoch == 0 || r.epoch != Epoch(c.GetSessionEpoch()) {
		out.Verdict, out.Access = NoSession, r.access()
		return
	}
	r.ended = true
	out.Access = r.access()
}

// unlock opens all lanes.
func (m *Machine) unlock(c *command.Unlock, out *Result) {
	r := m.signing(c.GetCustomer(), out)
	if r == nil {
		return
	}
	for lane := range r.failures {
		r.clear(lane)
	}
	out.Access = r.access()
}

// factorPassed clears the attempts at one-time codes of a session in force: its code was right, though nothing was granted.
func (m *Machine) factorPassed(c *command.FactorPassed, out *Result) {
	r := m.signing(c.GetCustomer(), out)
	if r == nil {
		return
	}
	if !r.access().InForce(Epoch(c.GetSessionEpoch()), m.now) {
		out.Verdict, out.Access = NoSession, r.access()
		return
	}
	r.clear(LaneOneTimeCode)
	out.Access = r.access()
}

// putCustomer adds or replaces a record. The session in force, locks and used codes stay, and so does a password that the customer has
// chosen.
func (m *Machine) putCustomer(c *command.PutCustomer, out *Result) {
	if !m.validCustomer(c) {
		out.Verdict = BadCommand
		return
	}
	id := CustomerID(c.Id)
	if holder, ok := m.usernameHolder(c.Username); ok && holder != id {
		out.Verdict = NotAllowed
		return
	}
	slot, known := m.access.index[id]
	if !known && m.access.len() >= m.limits.Customers {
		out.Verdict = TooMany
		return
	}
	record := customerOf(c)
	if known {
		old, ok := m.stored(id)
		if !ok {
			return
		}
		if old.Username != c.Username {
			m.delete(appendUsernameKey(nil, old.Username))
		}
		m.choosePassword(&record, &old, c.ResetPassword, slot)
		out.Access = m.access.cells.at(slot).access()
	} else {
		m.access.add(&accessRecord{id: id})
	}
	m.putRecord(&record)
	m.key = appendUsernameKey(m.key[:0], c.Username)
	m.value = binary.BigEndian.AppendUint64(m.value[:0], c.Id)
	m.set(m.key, m.value)
}

// choosePassword keeps the password that a customer has chosen when his record is replaced, which is done every night somewhere, unless
// it is to be reset.
func (m *Machine) choosePassword(record, old *Customer, reset bool, slot uint32) {
	switch {
	case reset:
		m.access.cells.edit(slot).ended = true
	case old.PasswordChanged != 0:
		record.PasswordSealed, record.PasswordChanged = old.PasswordSealed, old.PasswordChanged
	}
}

// changePassword puts a customer's own choice in the place of the password that was checked, if that one still stands there: of two
// changes at once one counts. Like a sign-in it begins a session and ends the one before: whoever has a copy of its cookie is out.
// Journals of programs before ReplacePassword hold it.
func (m *Machine) changePassword(c *command.ChangePassword, out *Result) {
	if r, record := m.replaced(c.Customer, c.SessionEpoch, c.Replaces, c.PasswordSealed, out); r != nil {
		m.newPassword(r, record, c.KnownDevice, out)
	}
}

// replacePassword is changePassword, confirmed by a second factor, which is spent with it. Only who has none is not asked for one.
func (m *Machine) replacePassword(c *command.ReplacePassword, out *Result) {
	p := proofOf(c.GetProof())
	if len(c.GetSubject()) != len(Subject{}) || c.Proof != nil && !m.whole(&p) {
		out.Verdict = BadCommand
		return
	}
	r, record := m.replaced(c.Customer, c.SessionEpoch, c.Replaces, c.PasswordSealed, out)
	if r == nil {
		return
	}
	slot := m.access.index[r.id]
	if c.Proof == nil {
		if f := m.factorsOf(r.id); len(record.TOTPSealed) > 0 || len(record.PhoneSealed) > 0 || len(f.passkeys) > 0 {
			out.Verdict, out.Access = FactorRefused, r.access()
			return
		}
	} else {
		if out.Verdict = m.proves(slot, Subject(c.Subject), &p); out.Verdict != Done {
			out.Access = r.access()
			return
		}
		m.spend(slot, &p)
	}
	m.newPassword(m.access.cells.edit(slot), record, c.KnownDevice, out)
}

// replaced gives the sign-in state and the record, with the new password in it, of a customer whose session in force replaces the password that was
// checked; nil: the verdict says why not.
func (m *Machine) replaced(customer, epoch uint64, replaces, sealed []byte, out *Result) (*accessRecord, *Customer) {
	if n := len(sealed); n == 0 || n > m.limits.SealedBytes || len(replaces) != sha256.Size {
		out.Verdict = BadCommand
		return nil, nil
	}
	r := m.signing(customer, out)
	if r == nil {
		return nil, nil
	}
	if !r.access().InForce(Epoch(epoch), m.now) {
		out.Verdict, out.Access = NoSession, r.access()
		return nil, nil
	}
	record, ok := m.stored(r.id)
	if !ok {
		return nil, nil
	}
	if sha256.Sum256(record.PasswordSealed) != [sha256.Size]byte(replaces) {
		out.Verdict, out.Access = NotAllowed, r.access()
		return nil, nil
	}
	record.PasswordSealed, record.PasswordChanged = sealed, m.now
	return r, &record
}

func (m *Machine) newPassword(r *accessRecord, record *Customer, knownDevice bool, out *Result) {
	m.putRecord(record)
	r.begin(m.now, knownDevice)
	out.Access = r.access()
}

func (m *Machine) usernameHolder(name string) (CustomerID, bool) {
	m.key = appendUsernameKey(m.key[:0], name)
	if !m.get(m.key) {
		return 0, false
	}
	if len(m.value) != 8 {
		m.fail(errors.New("a username's entry is damaged"))
		return 0, false
	}
	return CustomerID(binary.BigEndian.Uint64(m.value)), true
}

func (m *Machine) validCustomer(c *command.PutCustomer) bool {
	l := &m.limits
	if c.GetId() == 0 || !visible(c.Username, 1, l.UsernameBytes) || len(c.PasswordSealed) > l.SealedBytes || len(c.TotpSealed) > l.SealedBytes || len(c.PhoneSealed) > l.SealedBytes ||
		!readable(c.Name, 0, l.NameRunes) || !readable(c.ReservedMessage, 0, l.TextRunes) || !visible(c.Locale, 0, l.LocaleBytes) ||
		len(c.Accounts) > l.Accounts {
		return false
	}
	for i, a := range c.Accounts {
		if a == nil || !visible(a.Number, 1, l.AccountBytes) || !validCurrency(a.Currency) || !readable(a.Label, 0, l.LabelRunes) {
			return false
		}
		for _, b := range c.Accounts[:i] {
			if a.Number == b.Number && a.Currency == b.Currency {
				return false
			}
		}
	}
	return true
}

func appendCustomerKey(to []byte, id CustomerID) []byte {
	return binary.BigEndian.AppendUint64(append(to, keyCustomer), uint64(id))
}

func appendUsernameKey(to []byte, name string) []byte {
	return append(append(to, keyUsername), name...)
}

var errCustomer = errors.New("a customer's record is damaged")

// These stand first in every stored customer.
const (
	customerFormat       = 1
	customerFormatChosen = 2 // the same, and at the end when the customer has chosen the password
	customerFormatPhone  = 3 // the same, 0 if that never was, and where codes are sent
)

func customerOf(c *command.PutCustomer) Customer {
	record := Customer{
		ID: CustomerID(c.Id), Username: c.Username, PasswordSealed: c.PasswordSealed, TOTPSealed: c.TotpSealed,
		Name: c.Name, ReservedMessage: c.ReservedMessage, Tier: c.Tier, Locale: c.Locale, Accounts: make([]Account, len(c.Accounts)),
		PhoneSealed: c.PhoneSealed,
	}
	for i, a := range c.Accounts {
		record.Accounts[i] = Account{Number: a.Number, Currency: a.Currency, Label: a.Label}
	}
	return record
}

// appendCustomer encodes a customer. The accounts stand first, since each grant looks at them and at nothing else.
func appendCustomer(to []byte, c *Customer) []byte {
	format := byte(customerFormat)
	if len(c.PhoneSealed) > 0 {
		format = customerFormatPhone
	} else if c.PasswordChanged != 0 {
		format = customerFormatChosen
	}
	to = append(to, format)
	to = binary.AppendUvarint(to, uint64(len(c.Accounts)))
	for _, a := range c.Accounts {
		to = appendText(appendText(appendText(to, a.Number), a.Currency), a.Label)
	}
	to = binary.AppendUvarint(to, uint64(c.ID))
	to = appendText(appendText(appendText(to, c.Username), c.PasswordSealed), c.TOTPSealed)
	to = appendText(appendText(to, c.Name), c.ReservedMessage)
	to = binary.AppendUvarint(to, uint64(c.Tier))
	to = appendText(to, c.Locale)
	if format != customerFormat {
		to = binary.AppendUvarint(to, uint64(c.PasswordChanged))
	}
	if format == customerFormatPhone {
		to = appendText(to, c.PhoneSealed)
	}
	return to
}

// storedTextMax is far above every limit on a customer's texts: a stored record was checked when it came in.
const storedTextMax = 1 << 16

func readCustomer(b []byte) (c Customer, ok bool) {
	p := parser{rest: b}
	format := p.byte()
	if format < customerFormat || format > customerFormatPhone {
		return c, false
	}
	str := func() string { return string(p.text(storedTextMax)) }
	for n := p.atMost(uint64(len(b))); n > 0 && !p.bad; n-- {
		c.Accounts = append(c.Accounts, Account{Number: str(), Currency: str(), Label: str()})
	}
	c.ID = CustomerID(p.uint())
	c.Username = str()
	c.PasswordSealed = append([]byte(nil), p.text(storedTextMax)...)
	c.TOTPSealed = append([]byte(nil), p.text(storedTextMax)...)
	c.Name, c.ReservedMessage = str(), str()
	c.Tier = uint32(p.uint())
	c.Locale = str()
	if format != customerFormat {
		c.PasswordChanged = p.millis()
	}
	if format == customerFormatPhone {
		c.PhoneSealed = append([]byte(nil), p.text(storedTextMax)...)
	}
	return c, !p.bad && len(p.rest) == 0
}

// stored reads the record of a customer who is there, within Apply.
func (m *Machine) stored(id CustomerID) (Customer, bool) {
	if m.key = appendCustomerKey(m.key[:0], id); !m.get(m.key) {
		m.fail(errCustomer)
		return Customer{}, false
	}
	c, ok := readCustomer(m.value)
	if !ok {
		m.fail(errCustomer)
	}
	return c, ok
}

func (m *Machine) putRecord(c *Customer) {
	m.key = appendCustomerKey(m.key[:0], c.ID)
	m.value = appendCustomer(m.value[:0], c)
	m.set(m.key, m.value)
}

// hasAccount tells whether the customer has an account of that number and currency.
func (m *Machine) hasAccount(id CustomerID, number, currency string) bool {
	m.key = appendCustomerKey(m.key[:0], id)
	if number == "" || !m.get(m.key) {
		return false
	}
	p := parser{rest: m.value}
	p.byte()
	for n := p.atMost(uint64(len(m.value))); n > 0 && !p.bad; n-- {
		same := string(p.text(storedTextMax)) == number
		same = string(p.text(storedTextMax)) == currency && same
		p.text(storedTextMax)
		if same && !p.bad {
			return true
		}
	}
	if p.bad {
		m.fail(errCustomer)
	}
	return false
}

// customer reads a record for those outside Apply.
func (m *Machine) customer(id CustomerID) (c Customer, ok bool) {
	found, err := m.store.Get(appendCustomerKey(nil, id), func(value []byte) { c, ok = readCustomer(value) })
	if err == nil && found && !ok {
		err = errCustomer
	}
	if err == nil && ok {
		whole := true
		_, err = m.store.Get(appendFactorsKey(nil, id), func(value []byte) {
			var f factors
			f, whole = readFactors(value)
			c.Passkeys = f.passkeys
		})
		if err == nil && !whole {
			err = errFactors
		}
	}
	if err != nil {
		m.fail(err)
		return Customer{}, false
	}
	return c, ok
}

// Customer gives the customer of that username.
func (m *Machine) Customer(username string) (Customer, bool) {
	if len(username) == 0 || len(username) > m.limits.UsernameBytes {
		return Customer{}, false
	}
	var id CustomerID
	ok, err := m.store.Get(appendUsernameKey(nil, username), func(value []byte) {
		if len(value) == 8 {
			id = CustomerID(binary.BigEndian.Uint64(value))
		}
	})
	if err != nil {
		m.fail(err)
	}
	if !ok || err != nil {
		return Customer{}, false
	}
	return m.customer(id)
}

// CustomerByID gives a customer.
func (m *Machine) CustomerByID(id CustomerID) (Customer, bool) { return m.customer(id) }

// Access gives a customer's sign-in state; false if there is no such customer.
func (m *Machine) Access(id CustomerID) (Access, bool) {
	slot, ok := m.access.index[id]
	if !ok {
		return Access{}, false
	}
	return m.access.cells.at(slot).access(), true
}
