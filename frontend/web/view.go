package web

// Frame is what every page shows around its content. Pages embed it.
type Frame struct {
	Lang      Locale
	Title     string
	Bank      string // the bank's name
	Reference string // of this request; a customer reads it to the hotline
	Langs     []LanguageLink
	SignOut   *SignOut   // nil: nobody is signed in
	Menu      []MenuLink // empty: nobody is signed in, or there is something to finish here first
	Alert     string     // why the last try did not work; empty: there was none, or it did
	Faulty    string     // the field that the alert is about: sign-in, code, present, chosen or name; empty: none
	Advice    string     // what the customer had better do about the password, on pages with the menu; empty: nothing
	Ending    *Ending    // what the page says of its session's end; nil: it has none to say
	Script    string     // the nonce of the page's script; empty: the page has none
	Back      string     // the merchant's address; empty: the page has no payment, or its main link leads there
}

// MenuLink leads to one of the parts of the site.
type MenuLink struct {
	Link
	Current string // of aria-current: page, or true on a page of that part; empty: the page is of another
}

// LanguageLink leads to the same page in another language.
type LanguageLink struct {
	Tag     Locale
	Name    string // in that language itself
	Href    string
	Current bool
}

// Ending says that the session ends soon. It stands on the page from the first, and the style sheet shows it when it is time: so it needs
// no script, and what has been typed stays.
type Ending struct {
	Text   string
	Later  bool  // shown only when two minutes are left; else at once
	Extend *Link // nil: it cannot be extended
}

// SignOut is the form that ends the session.
type SignOut struct {
	Name   string
	Where  string // the page about the session
	Action string
	CSRF   string
}

// Order is a payment as a customer sees it.
type Order struct {
	CreditorName string
	Amount       string // with its currency
	OrderText    string
	Account      string // masked; empty before one was chosen
	When         string // when it came to its end; empty before
	Number       string // the payment's id, on pages that a customer keeps or reads out; else empty
}

// Form is a form that has only a button.
type Form struct {
	Action string
	CSRF   string
}

// SignIn is the page of that name.
type SignIn struct {
	Frame
	Order  *Order // nil: the customer came without a payment
	Action string
	Cancel *Form
}

// Account is one choice on the page Confirm.
type Account struct {
	Value   string // an index, never the number
	Label   string
	Masked  string
	Balance string // empty: not asked for, or not known
	Checked bool
}

// Confirm shows what is to be paid, the customer's reserved message, and the accounts.
type Confirm struct {
	Frame
	Order    Order
	Reserved string
	Action   string
	CSRF     string
	Accounts []Account
	Balances string // where the same page is shown with balances; empty: they were asked for
	Note     string // why balances that were asked for are not all there; empty: they are
	Cancel   *Form
}

// Code asks for a second factor: a passkey, a code that was sent or is to be, or the code of an authenticator.
type Code struct {
	Frame
	Step    string // of the way of a payment; empty: it is not about one
	Heading string
	Order   *Order // nil: it is about a change of the customer's factors
	What    string // that change
	Way     string // passkey, message or totp; empty: the customer has none that will do
	Action  string
	CSRF    string
	Button  string
	Options string // for the browser's passkeys, in JSON
	Phone   string // the last digits of the number that codes are sent to
	Send    *Form  // sends the first code; nil: it was sent, or none is
	Resend  *Form  // sends another
	Others  []Link // other ways to confirm
	Cancel  *Form
	Leave   *Link // back, where there is nothing to cancel
}

// NewPasskey makes a passkey.
type NewPasskey struct {
	Frame
	Action  string
	CSRF    string
	Options string
	Name    string // that the customer may change
}

// Factors tells which second factors the customer has.
type Factors struct {
	Frame
	Done     string // what has just been done; empty: nothing
	Passkeys []Passkey
	None     string // what to say where there are no passkeys
	Add      *Link  // nil: no more can be added
	Rows     []Row  // the other factors
}

// Passkey is one of the customer's.
type Passkey struct {
	Name   string
	When   string // it was added, and used
	Value  string // stands for it in the form; never its id
	CSRF   string
	Remove string // the button's words for who does not see what it stands beside
}

// Link is an address with its words.
type Link struct {
	Href string
	Text string
}

// Message is every page that tells something and leads on or back.
type Message struct {
	Frame
	Tone       string // good, bad, wait or info: the sign beside the heading
	Heading    string
	Paragraphs []string
	Line       *Line // nil: the page is not about a place in the line
	Order      *Order
	Primary    *Link  // the one thing to do now
	Also       *Link  // another; nil: none
	Follow     string // what will happen by itself
	Stay       *Link  // keeps it from happening; nil: nothing will
	Cancel     *Form
}

// Line is a place in the waiting line.
type Line struct {
	Ahead string // people
	Wait  string // the range of time in which the turn is expected, or that nobody can say
	At    string // when that was worked out
}

// Payments lists what the customer has confirmed.
type Payments struct {
	Frame
	Note   string // what to mind of the list; empty: nothing
	Rows   []Payment
	Intro  string // what is in the list
	None   string // what to say in its place where it is empty
	Later  bool   // it begins with the newest
	Older  *Link  // nil: nothing is behind the last
	Newest *Link  // nil: this is where it begins
}

// Payment is a line of that list.
type Payment struct {
	Href         string
	CreditorName string
	Amount       string // with its currency
	When         string // it was confirmed
	Tone         string // good, bad or wait
	State        string // charged, not charged, or not yet known
	Number       string // the payment's id
}

// Security is where a customer changes what he signs in with.
type Security struct {
	Frame
	Done     string // what was changed; empty: nothing
	Action   string
	CSRF     string
	Username string // for the browser's or the customer's own list of passwords
	Since    string // since when there is the present one
	Min, Max int    // characters of a new one
}

// Session tells about the session in force.
type Session struct {
	Frame
	Rows    []Row
	Payment *Link // back to the payment; nil: there is none
}

// Row is a term with what it is.
type Row struct{ Term, Text string }
