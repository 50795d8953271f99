package lab

import (
	"context"
	_ "embed"
	"encoding/json"
	"fmt"
	"html/template"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/pquerna/otp/totp"

	"netbank/bench/demo"
	"netbank/cmd/internal/bank"
)

//go:embed phone.html
var phoneText string

var phoneTemplate = template.Must(template.New("phone").Parse(phoneText))

// Phone makes the demo phone for the customers of a demo.json. gateway is where the demo's message gateway has their messages, and tokenFile holds
// its token; without them the phone has none.
func Phone(file, gateway, tokenFile string) (http.Handler, error) {
	d, err := demo.Load(file)
	if err != nil {
		return nil, err
	}
	token := ""
	if gateway != "" {
		if token, err = bank.ReadToken(tokenFile); err != nil {
			return nil, err
		}
	}
	return phone(d.Customers, func(to string) ([]received, error) { return fetchMessages(gateway, token, to) }), nil
}

// fetchMessages asks the gateway what a number was sent.
func fetchMessages(gateway, token, to string) (all []received, err error) {
	if gateway == "" || to == "" {
		return nil, nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, gateway+"?to="+url.QueryEscape(to), nil)
	if err != nil {
		return nil, err
	}
	r.Header.Set("Authorization", "Bearer "+token)
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	return all, json.NewDecoder(io.LimitReader(answer.Body, 64<<10)).Decode(&all)
}

// phone shows the one-time code that a demo customer's authenticator would show, and the messages that the gateway has delivered. It stands for a
// customer's own phone; the bank itself never shows a code.
func phone(people []demo.Identity, messages func(to string) ([]received, error)) http.Handler {
	owners := make(map[string]demo.Identity, len(people))
	for _, p := range people {
		owners[p.Username] = p
	}
	type view struct {
		Username, Code, Error string
		Number, Silent        string
		Left                  int
		First                 []string
		Messages              []received
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		v := view{Username: strings.TrimSpace(r.URL.Query().Get("username"))}
		for _, p := range people[:min(2, len(people))] {
			v.First = append(v.First, p.Username)
		}
		if v.Username == "" && len(v.First) > 0 {
			v.Username = v.First[0]
		}
		now := time.Now()
		v.Left = 30 - int(now.Unix()%30)
		owner, ok := owners[v.Username]
		if code, err := totp.GenerateCode(owner.TOTP, now); !ok {
			v.Error = fmt.Sprintf("No demo customer is called %.64q.", v.Username)
		} else if err != nil {
			v.Error = err.Error()
		} else {
			v.Code, v.Number = code[:3]+" "+code[3:], owner.Phone
			if v.Messages, err = messages(owner.Phone); err != nil {
				v.Silent = "The message gateway does not answer: " + err.Error()
			}
		}
		v.Left = min(v.Left, 10) // messages come at any time
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		_ = phoneTemplate.Execute(w, v)
	})
}
