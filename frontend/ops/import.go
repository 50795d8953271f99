package ops

import (
	"bufio"
	"encoding/base32"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"path"
	"strings"
	"sync"
	"time"

	"netbank/cluster/journal"
	"netbank/cluster/journal/command"
	"netbank/session"
)

// Partner is one line of an import of partners.
type Partner struct {
	ID               uint32   `json:"id"`
	Name             string   `json:"name"`
	Fingerprints     []string `json:"fingerprints"` // SHA-256 of the client certificates, hexadecimal
	RedirectURIs     []string `json:"redirectURIs"`
	NotificationURIs []string `json:"notificationURIs"`
	OpenPaymentsMax  uint32   `json:"openPaymentsMax"`
	CreatesPerSecond uint32   `json:"createsPerSecond"`
	PollsPerSecond   uint32   `json:"pollsPerSecond"`
}

// Customer is one line of an import of customers.
type Customer struct {
	ID              uint64    `json:"id"`
	Username        string    `json:"username"`
	Password        string    `json:"password,omitempty"`      // either this
	PasswordHash    string    `json:"passwordHash,omitempty"`  // or a PHC string
	ResetPassword   bool      `json:"resetPassword,omitempty"` // also in the place of one that the customer has chosen
	TOTP            string    `json:"totp,omitempty"`          // base32, RFC 4648; empty: no authenticator
	Phone           string    `json:"phone,omitempty"`         // E.164, where one-time codes are sent; empty: nowhere
	Name            string    `json:"name"`
	ReservedMessage string    `json:"reservedMessage"`
	Tier            uint32    `json:"tier"`
	Locale          string    `json:"locale"`
	Accounts        []Account `json:"accounts"`
}

// Account is one of a customer's accounts.
type Account struct {
	Number   string `json:"number"`
	Currency string `json:"currency"`
	Label    string `json:"label"`
}

// Imported says what became of an import.
type Imported struct {
	Imported int      `json:"imported"`
	Failed   int      `json:"failed"`
	Errors   []string `json:"errors,omitempty"` // the first ten, each with its line
}

// importErrorsShown is how many errors an answer lists.
const importErrorsShown = 10

func (p *port) importPartners(w http.ResponseWriter, r *http.Request) {
	p.importLines(w, r, func(line []byte) (*journal.Command, error) {
		var in Partner
		if err := strict(line, &in); err != nil {
			return nil, err
		}
		put := &command.PutPartner{
			Id: in.ID, Name: in.Name, RedirectUris: in.RedirectURIs, NotificationUris: in.NotificationURIs,
			OpenPaymentsMax: in.OpenPaymentsMax, CreatesPerSecond: in.CreatesPerSecond, PollsPerSecond: in.PollsPerSecond,
		}
		for _, f := range in.Fingerprints {
			sum, err := hex.DecodeString(f)
			if err != nil || len(sum) != 32 {
				return nil, fmt.Errorf("fingerprint %.80q is not a SHA-256 in 64 hexadecimal digits; `openssl x509 -noout -fingerprint -sha256` prints one (leave out the colons)", f)
			}
			put.Fingerprints = append(put.Fingerprints, sum)
		}
		return &journal.Command{Body: &command.Command_PutPartner{PutPartner: put}}, nil
	})
}

func (p *port) importCustomers(w http.ResponseWriter, r *http.Request) {
	p.importLines(w, r, func(line []byte) (*journal.Command, error) {
		var in Customer
		if err := strict(line, &in); err != nil {
			return nil, err
		}
		// Signing in looks a name up in this form, so it must stand there in it.
		username, err := session.NormalUsername(in.Username)
		if err != nil {
			return nil, fmt.Errorf("customer %d: username must have 1 to %d bytes and no control characters", in.ID, session.UsernameMax)
		}
		put := &command.PutCustomer{
			Id: in.ID, Username: username, Name: in.Name, ReservedMessage: in.ReservedMessage, Tier: in.Tier, Locale: in.Locale,
			ResetPassword: in.ResetPassword,
		}
		switch {
		case in.Password != "" && in.PasswordHash != "", in.Password == "" && in.PasswordHash == "":
			return nil, fmt.Errorf("customer %d: give either password or passwordHash", in.ID)
		case in.Password != "":
			put.PasswordSealed, err = p.Credentials.Password(journal.CustomerID(in.ID), in.Password)
		default:
			put.PasswordSealed, err = p.Credentials.PasswordHash(journal.CustomerID(in.ID), in.PasswordHash)
		}
		if err != nil {
			return nil, fmt.Errorf("customer %d: %w", in.ID, err)
		}
		if put.PhoneSealed, put.TotpSealed, err = p.factorsOf(&in); err != nil {
			return nil, fmt.Errorf("customer %d: %w", in.ID, err)
		}
		for _, a := range in.Accounts {
			if !isAccount(a.Number) {
				return nil, fmt.Errorf("customer %d: an account number is not 1 to %d digits, which is what the core's wire can carry", in.ID, accountDigitsMax)
			}
			put.Accounts = append(put.Accounts, &command.Account{Number: a.Number, Currency: a.Currency, Label: a.Label})
		}
		return &journal.Command{Body: &command.Command_PutCustomer{PutCustomer: put}}, nil
	})
}

// factorsOf seals the second factors that a customer is imported with. Passkeys are the customer's own doing, and stay.
func (p *port) factorsOf(in *Customer) (phone, totp []byte, err error) {
	id := journal.CustomerID(in.ID)
	if in.Phone != "" {
		number, ok := session.NormalPhone(in.Phone)
		if !ok {
			return nil, nil, errors.New("phone is no number with its country's code, such as +8613800001234")
		}
		phone = p.Credentials.Phone(id, number)
	}
	if in.TOTP != "" {
		seed, err := base32.StdEncoding.WithPadding(base32.NoPadding).DecodeString(strings.TrimRight(strings.ToUpper(in.TOTP), "="))
		if err != nil || len(seed) < session.SeedMin || len(seed) > session.SeedMax {
			return nil, nil, fmt.Errorf("totp is not a base32 seed of %d to %d bytes", session.SeedMin, session.SeedMax)
		}
		totp = p.Credentials.TOTP(id, seed)
	}
	if phone == nil && totp == nil {
		return nil, nil, errors.New("give totp, phone or both: without a second factor the customer can confirm nothing")
	}
	return phone, totp, nil
}

// accountDigitsMax is what field 2 of the core's wire holds (ISO 8583: n..19).
const accountDigitsMax = 19

func isAccount(number string) bool {
	return number != "" && len(number) <= accountDigitsMax && strings.Trim(number, "0123456789") == ""
}

// strict decodes one object and refuses fields it does not know, so that a misspelt one is not lost quietly.
func strict(line []byte, v any) error {
	d := json.NewDecoder(strings.NewReader(string(line)))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return fmt.Errorf("not the JSON object expected here: %w", err)
	}
	if _, err := d.Token(); err != io.EOF {
		return fmt.Errorf("more than one JSON object on the line")
	}
	return nil
}

// importLines commits one command a line, many at once; with ?dryRun it only reads them. Lines are independent: a bad one is reported, the others count.
func (p *port) importLines(w http.ResponseWriter, r *http.Request, parse func([]byte) (*journal.Command, error)) {
	dry, err := dryRun(r)
	var reason string
	if err == nil {
		reason, err = reasonOf(r)
	}
	if err != nil {
		failWith(w, err)
		return
	}
	var (
		out  Imported
		lock sync.Mutex
		wait sync.WaitGroup
	)
	report := func(line int, err error) {
		lock.Lock()
		defer lock.Unlock()
		if err == nil {
			out.Imported++
			return
		}
		out.Failed++
		if len(out.Errors) < importErrorsShown {
			out.Errors = append(out.Errors, fmt.Sprintf("line %d: %v", line, err))
		}
	}
	type job struct {
		line int
		text []byte
	}
	jobs := make(chan job, ImportParallel)
	for range ImportParallel {
		wait.Go(func() {
			for j := range jobs {
				report(j.line, p.importLine(j.text, parse, dry))
			}
		})
	}
	lines := bufio.NewScanner(r.Body)
	lines.Buffer(make([]byte, 4096), LineBytesMax)
	n := 0
	for lines.Scan() && n < ImportLinesMax {
		n++
		if text := strings.TrimSpace(lines.Text()); text != "" {
			jobs <- job{n, []byte(text)}
		}
	}
	close(jobs)
	wait.Wait()
	err = lines.Err()
	if err == nil && n == ImportLinesMax {
		err = fmt.Errorf("%w (%d); send the rest in another", errTooManyLines, ImportLinesMax)
	}
	if err != nil {
		report(n+1, fmt.Errorf("%w (a line may have %d bytes)", err, LineBytesMax))
	}
	status := http.StatusOK
	if out.Failed > 0 {
		status = http.StatusUnprocessableEntity
	}
	outcome := "done"
	if dry {
		outcome = "dry-run"
	} else if out.Failed > 0 {
		outcome = "failed"
	}
	p.audit(r, "import", outcome, "path", r.URL.Path, "imported", out.Imported, "failed", out.Failed, "reason", reason)
	if out.Imported > 0 && !dry {
		p.note(r, "import-"+path.Base(r.URL.Path), reason, []any{"imported", out.Imported, "failed", out.Failed})
	}
	answer(w, status, out)
}

func (p *port) importLine(text []byte, parse func([]byte) (*journal.Command, error), dry bool) error {
	cmd, err := parse(text)
	if err != nil || dry {
		return err
	}
	result, err := p.Bank.Submit(cmd, time.Now().Add(30*time.Second))
	if err != nil {
		return err
	}
	if result.Verdict != journal.Done && result.Verdict != journal.Repeated {
		return fmt.Errorf("the journal did not take it: %s", result.Verdict)
	}
	return nil
}

func unlockOf(id journal.CustomerID) *command.Command_Unlock {
	return &command.Command_Unlock{Unlock: &command.Unlock{Customer: uint64(id)}}
}
