package iso8583

// The fields of this wire. Field numbers and their meanings are those of ISO 8583:1987, table 5.
const (
	FieldAccount      = 2
	FieldProcessing   = 3
	FieldAmount       = 4
	FieldTransmission = 7
	FieldSTAN         = 11
	FieldLocalTime    = 12
	FieldLocalDate    = 13
	FieldAcquirer     = 32
	FieldRRN          = 37
	FieldApproval     = 38
	FieldResponse     = 39
	FieldTerminal     = 41
	FieldAcceptor     = 42
	FieldAdditional   = 48
	FieldCurrency     = 49
	FieldAmounts      = 54
	FieldNetwork      = 70
	FieldOriginal     = 90

	fieldLast = FieldOriginal
)

// Kind says which characters a field may hold.
type Kind uint8

// The kinds. The standard's short names stand in brackets.
const (
	Digits     Kind = iota + 1 // 0 to 9 (n)
	Letters                    // A to Z, a to z, 0 to 9 (an)
	Printable                  // ASCII from the blank to the tilde (ans)
	UTF8                       // valid UTF-8 without control characters (ans; only field 48 carries names)
	MonthDay                   // MMDD, a date that some year has (n)
	HourToSec                  // hhmmss, 000000 to 235959 (n)
	MonthToSec                 // MMDDhhmmss (n)
)

// Spec is one row of the field table.
type Spec struct {
	Name   string
	Kind   Kind
	Prefix uint8  // digits of length before the value: 0 fixed length, 2 LLVAR, 3 LLLVAR
	Min    uint16 // bytes; equal to Max for a fixed length
	Max    uint16 // bytes
	Secret bool   // the value never stands in an error
}

// fields is the field table, indexed by field number; a row without a name is a field that this wire does not have.
var fields = [fieldLast + 1]Spec{
	FieldAccount:      {Name: "account", Kind: Digits, Prefix: 2, Min: 1, Max: 19, Secret: true},
	FieldProcessing:   {Name: "processing code", Kind: Digits, Min: 6, Max: 6},
	FieldAmount:       {Name: "amount", Kind: Digits, Min: 12, Max: 12},
	FieldTransmission: {Name: "transmission date and time", Kind: MonthToSec, Min: 10, Max: 10},
	FieldSTAN:         {Name: "system trace audit number", Kind: Digits, Min: 6, Max: 6},
	FieldLocalTime:    {Name: "local time", Kind: HourToSec, Min: 6, Max: 6},
	FieldLocalDate:    {Name: "local date", Kind: MonthDay, Min: 4, Max: 4},
	FieldAcquirer:     {Name: "acquirer", Kind: Digits, Prefix: 2, Min: 1, Max: 11},
	FieldRRN:          {Name: "retrieval reference number", Kind: Letters, Min: 12, Max: 12},
	FieldApproval:     {Name: "approval code", Kind: Letters, Min: 6, Max: 6},
	FieldResponse:     {Name: "response code", Kind: Letters, Min: 2, Max: 2},
	FieldTerminal:     {Name: "terminal", Kind: Printable, Min: 8, Max: 8},
	FieldAcceptor:     {Name: "acceptor", Kind: Printable, Min: 15, Max: 15},
	FieldAdditional:   {Name: "additional data", Kind: UTF8, Prefix: 3, Min: 1, Max: 999, Secret: true},
	FieldCurrency:     {Name: "currency", Kind: Digits, Min: 3, Max: 3},
	FieldAmounts:      {Name: "additional amounts", Kind: Printable, Prefix: 3, Min: 1, Max: 120, Secret: true},
	FieldNetwork:      {Name: "network code", Kind: Digits, Min: 3, Max: 3},
	FieldOriginal:     {Name: "original data elements", Kind: Digits, Min: 42, Max: 42},
}

// FieldSpec gives a field's row of the table, and whether this wire has the field.
func FieldSpec(field int) (Spec, bool) {
	if field < 0 || field > fieldLast || fields[field].Max == 0 {
		return Spec{}, false
	}
	return fields[field], true
}

// MTI is a message type indicator; its four digits are read as hexadecimal ones: 0x0200 is "0200".
type MTI uint16

// The message types of this wire.
const (
	BalanceRequest MTI = 0x0100
	BalanceAnswer  MTI = 0x0110
	DebitRequest   MTI = 0x0200
	DebitAnswer    MTI = 0x0210
	ReversalAdvice MTI = 0x0420
	ReversalRepeat MTI = 0x0421
	ReversalAnswer MTI = 0x0430
	InquiryRequest MTI = 0x0600
	InquiryAnswer  MTI = 0x0610
	NetworkRequest MTI = 0x0800
	NetworkAnswer  MTI = 0x0810
)

// layout is which fields a message must bear. Others of the field table may stand beside them: cores echo more than is
// asked, and a field that is understood does no harm.
type layout struct {
	mti      MTI
	required []uint8
}

// layouts is the message table. An answer need not echo what its request is not matched by.
var layouts = [...]layout{
	{DebitRequest, []uint8{2, 3, 4, 7, 11, 12, 13, 32, 37, 41, 42, 48, 49}},
	{DebitAnswer, []uint8{2, 3, 4, 7, 11, 32, 37, 39, 41, 49}},
	{BalanceRequest, []uint8{2, 3, 7, 11, 12, 13, 32, 37, 41, 42, 49}},
	{BalanceAnswer, []uint8{7, 11, 32, 39}},
	{ReversalAdvice, []uint8{2, 3, 4, 7, 11, 32, 37, 48, 49, 90}},
	{ReversalRepeat, []uint8{2, 3, 4, 7, 11, 32, 37, 48, 49, 90}},
	{ReversalAnswer, []uint8{7, 11, 32, 39}},
	{InquiryRequest, []uint8{7, 11, 32, 37, 48}},
	{InquiryAnswer, []uint8{7, 11, 32, 39}},
	{NetworkRequest, []uint8{7, 11, 70}},
	{NetworkAnswer, []uint8{7, 11, 39, 70}},
}

// Processing codes (field 3).
const (
	ProcessingDebit   = "000000"
	ProcessingBalance = "310000"
)

// Network codes (field 70).
const (
	NetworkSignOn = "001"
	NetworkEcho   = "301"
)

// Response codes (field 39).
const (
	CodeApproved     = "00" // to an inquiry: done
	CodeDeclined     = "05"
	CodeRunning      = "09" // to an inquiry: still running
	CodeNoAccount    = "14"
	CodeReversed     = "21" // moved nothing, and never will: the reference was reversed
	CodeUnknown      = "25" // to an inquiry: never seen
	CodeFormat       = "30" // the message was understood as a message, but not as a request
	CodeInsufficient = "51"
	CodeOverLimit    = "61"
	CodeUnavailable  = "91" // not done
	CodeDuplicate    = "94" // in doubt: ask by inquiry
	CodeSystemError  = "96" // in doubt
)
