package system

import (
	"bytes"
	"encoding/base32"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// needle is something that must not be found, and what it is.
type needle struct {
	what string
	text []byte
}

// search looks for needles in a text; it says what was found and where, never the secret.
func search(t *testing.T, where string, text []byte, needles []needle) {
	t.Helper()
	for _, n := range needles {
		if bytes.Contains(text, n.text) {
			t.Errorf("%s holds %s", where, n.what)
		}
	}
}

// tree searches every file below a directory, and gives their bytes together for a look at what must be there.
func tree(t *testing.T, dir string, needles []needle) (all []byte) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		search(t, path, text, needles)
		all = append(all, text...)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func (r *rig) fetch(address string) []byte {
	r.t.Helper()
	resp, err := r.client.Get(address)
	if err != nil {
		r.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		r.t.Fatalf("%s: %d %v", address, resp.StatusCode, err)
	}
	return text
}

// Passwords, one-time seeds, hashes, cookies and keys are nowhere in clear: not in the data directory, the log or the metrics. Account numbers
// are data of the journal, and in neither of the other two.
func TestSecretsAreNowhereInClear(t *testing.T) {
	const customers = 20
	r := prepare(t, customers, "fixed:1ms")
	r.bankArgs = []string{"--snapshot-bytes=1048576", "--verbose"}
	r.open()
	var secret, private []needle
	add := func(list *[]needle, what string, text []byte) { *list = append(*list, needle{what, text}) }
	l := &load{rig: r, ctx: t.Context(), stop: func() {}, name: "secrets"}
	for n := range customers {
		c := r.people.take(t.Context())
		created, ok := l.create(int64(n))
		if !ok {
			t.Fatal("no payment")
		}
		if n%5 == 0 { // a wrong password is as secret as a right one
			page, err := c.Open(created.Link)
			if err != nil {
				t.Fatal(err)
			}
			f := page.Asks("current-password")
			f.Fields[0].Value, f.Fields[1].Value = c.Username(), "wrong-horse-77"
			if _, err := c.Submit(page, f); err != nil {
				t.Fatal(err)
			}
		}
		l.pay(c, &created, n%3 == 0)
		for _, value := range c.Cookies() {
			if len(value) > 16 { // not the language
				add(&secret, "a cookie", []byte(value))
			}
		}
		link, err := url.Parse(created.Link)
		if err != nil {
			t.Fatal(err)
		}
		add(&private, "the MAC of a customer's link", []byte(link.Query().Get("s")))
	}
	if l.settled.Load() != customers {
		t.Fatalf("%d of %d customers have paid", l.settled.Load(), customers)
	}
	for _, who := range r.demo.Customers {
		seed, err := base32.StdEncoding.WithPadding(base32.NoPadding).DecodeString(who.TOTP)
		if err != nil {
			t.Fatal(err)
		}
		add(&secret, "a TOTP seed in base32", []byte(who.TOTP))
		add(&secret, "a raw TOTP seed", seed)
		for _, account := range who.Accounts {
			add(&private, "a customer's account number", []byte(account))
		}
	}
	add(&private, "the payee's account number", []byte("6228480000000000017"))
	add(&secret, "a password", []byte(r.demo.Customers[0].Password))
	add(&secret, "a wrong password", []byte("wrong-horse-77"))
	add(&secret, "a PHC string", []byte("$argon2"))
	for what, name := range map[string]string{"the operator's token": "operator.token", "the key-encryption key": "kek"} {
		text, err := os.ReadFile(filepath.Join(r.dev.DataDir, name))
		if err != nil {
			t.Fatal(err)
		}
		add(&secret, what, bytes.TrimSpace(text))
	}

	metrics := r.fetch(r.demo.Operator.URL + "/metrics")
	search(t, "/metrics", metrics, append(secret, private...))
	if !strings.Contains(string(metrics), "netbank_") {
		t.Error("the metrics are not the bank's")
	}
	dir := filepath.Join(r.dev.DataDir, "bank")
	tree(t, dir, secret) // while it is written
	r.bank.stop(t)
	if all := tree(t, dir, secret); !bytes.Contains(all, []byte("System Shop")) {
		t.Error("the search is blind: it does not even find the payee's name")
	}
	log, err := os.ReadFile(r.log("bank"))
	if err != nil {
		t.Fatal(err)
	}
	search(t, "the log", log, append(secret, private...))
	if !bytes.Contains(log, []byte("the bank is open")) {
		t.Error("the log is not the bank's")
	}
}
