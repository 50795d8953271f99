package journal

// Limits bounds every table and field of the journal. They are part of the algorithm: every node of a cluster, and
// every program that replays its log, must use the same, or their states drift apart. So there is one set,
// DefaultLimits, and a change of a default comes with a new Batch.version. Tests use smaller ones; lengths of texts
// above the defaults count as the defaults, since the layout of records holds no more.
type Limits struct {
	BatchCommands  int // commands in one entry; of a larger one every command is a BadCommand
	OpenPayments   int // payments not in a final state, of all partners
	PartnerOpen    int // the same of one partner whose record says 0
	Partners       int // payment platforms
	Fingerprints   int // client certificates of one partner
	PartnerURIs    int // registered redirect URIs of one partner; as many notification URIs
	Customers      int // customers, each with 64 bytes of Access in memory
	Accounts       int // accounts of one customer
	Keys           int // generations of the root key; the oldest leaves when one more comes: a device cookie lives 180 days, and one key is made a day
	CommandIDs     int // ids of commands remembered, newest
	Contradictions int // entries of the reconciliation list; further ones are only counted
	Notices        int // outbox of all partners, and what open payments may still add to it
	PartnerNotices int // the same of one partner
	ExpireIDs      int // payments in one Expire
	OutboxIDs      int // sequences in one OutboxDone
	PruneRecords   int // records of each kind that one Prune drops; it says TooMany when more are left
	Authorities    int // of the cluster's certificates: the current one, and the other of a rotation
	Tokens         int // join tokens; of more, those that have expired leave
	TokenUses      int // nodes that one token may let in
	Nodes          int // members of the cluster, with those removed: of more, the one that was removed first is forgotten
	Coordinators   int // members that are coordinators: five voters, and two that take the place of others
	Passkeys       int // of one customer
	Acts           int // entries of the audit; of more, the oldest leaves
	Stored         int // payments, open and finished, and idempotency keys each, between two prunings

	AccountBytes    int // an account number (IBAN: 34, ISO 13616)
	NameRunes       int // a creditor's, customer's or partner's name (Berlin Group: Max70Text)
	EndToEndRunes   int // end-to-end identification (Max35Text)
	TextRunes       int // remittance text, reserved message (Max140Text)
	LabelRunes      int // an account's label
	URIBytes        int // each URI
	UsernameBytes   int
	LocaleBytes     int
	SealedBytes     int    // a sealed password hash, seed or root key
	CredentialBytes int    // a passkey's id
	PublicKeyBytes  int    // its key: an RSA key of 2,048 bits takes 272
	AddressBytes    int    // a node's address
	VerbBytes       int    // a word of the audit
	OperatorRunes   int    // who has done something
	ReasonRunes     int    // why, and what else the audit says of it
	TokenLife       Millis // of a join token, at most
	WishFor         Millis // a wish with an end, at most
	WishPending     Millis // that a wish waits for a second operator
	AmountMinorMax  int64  // the wire carries 12 digits (field 4)
	ExpiresAfter    Millis // from the creation of a payment to its expiry, and from the making of its id to its creation, at most
	ClockSlack      Millis // how far a proposer's clock, which made the expiry and the payment's id, may be ahead
}

// DefaultLimits are the limits of version 1 of the journal.
func DefaultLimits() Limits {
	return Limits{
		BatchCommands:  4096,
		OpenPayments:   1 << 20,
		PartnerOpen:    1 << 18,
		Partners:       1000,
		Fingerprints:   8,
		PartnerURIs:    16,
		Customers:      1 << 24,
		Accounts:       32,
		Keys:           256,
		CommandIDs:     1 << 18,
		Contradictions: 10000,
		Notices:        1 << 24,
		PartnerNotices: 1 << 23,
		ExpireIDs:      1024,
		OutboxIDs:      1024,
		PruneRecords:   1024,
		Authorities:    2,
		Tokens:         256,
		TokenUses:      1024,
		Nodes:          1024,
		Coordinators:   7,
		Passkeys:       8,
		Acts:           1000,
		Stored:         1 << 28,

		AccountBytes:    34,
		NameRunes:       70,
		EndToEndRunes:   35,
		TextRunes:       140,
		LabelRunes:      35,
		URIBytes:        1024,
		UsernameBytes:   64,
		LocaleBytes:     16,
		SealedBytes:     1024,
		CredentialBytes: 255,
		PublicKeyBytes:  320,
		AddressBytes:    255,
		VerbBytes:       32,
		OperatorRunes:   100,
		ReasonRunes:     200,
		TokenLife:       7 * 24 * hour,
		WishFor:         31 * 24 * hour,
		WishPending:     hour,
		AmountMinorMax:  999_999_999_999,
		ExpiresAfter:    24 * hour,
		ClockSlack:      minute,
	}
}

// within gives limits whose texts fit the records: the largest are those of version 1.
func (l Limits) within(most Limits) Limits {
	for _, pair := range [...][2]*int{
		{&l.Fingerprints, &most.Fingerprints},
		{&l.PartnerURIs, &most.PartnerURIs},
		{&l.AccountBytes, &most.AccountBytes},
		{&l.NameRunes, &most.NameRunes},
		{&l.EndToEndRunes, &most.EndToEndRunes},
		{&l.TextRunes, &most.TextRunes},
		{&l.LabelRunes, &most.LabelRunes},
		{&l.URIBytes, &most.URIBytes},
		{&l.UsernameBytes, &most.UsernameBytes},
		{&l.LocaleBytes, &most.LocaleBytes},
		{&l.SealedBytes, &most.SealedBytes},
		{&l.Accounts, &most.Accounts},
	} {
		*pair[0] = min(*pair[0], *pair[1])
	}
	return l
}

const (
	second Millis = 1000
	minute        = 60 * second
	hour          = 60 * minute
)

// The times and counts of signing in. They are fixed: a change is a change of the algorithm.
const (
	// SessionMax is how long after its sign-in a session can authorise a payment, whatever its cookie says.
	SessionMax = 30 * minute
	// LockAfter is the number of attempts in a row without a success after which a lane is locked.
	LockAfter = 5
	// LockFor is how long a lane stays locked, from its last attempt that counted.
	LockFor = 15 * minute
	// CodeFor is how long a code that was sent is good; with the next one it is good no more.
	CodeFor = 5 * minute
	// CodeEvery is how long the next code for the same payment has to wait, CodesForOne how many there are for it, and CodesPerHour how many a customer
	// is sent in all within an hour.
	CodeEvery    = 30 * second
	CodesForOne  = 3
	CodesPerHour = 10
	// PruneAfter is how long an idempotency key and a finished payment are kept, whatever a Prune asks for. It is longer than
	// an id of a payment may be old when it is created (Limits.ExpiresAfter), so no id is ever used twice.
	PruneAfter = 48 * hour
)

// The lanes of Access.
const (
	LaneUnknownDevice = iota // passwords from devices that never signed in
	LaneKnownDevice          // passwords from devices that did
	LaneOneTimeCode          // one-time codes
)
