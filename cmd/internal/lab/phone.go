package lab

import (
	_ "embed"
	"fmt"
	"html/template"
	"net/http"
	"strings"
	"time"

	"github.com/pquerna/otp/totp"

	"netbank/bench/demo"
)

//go:embed phone.html
var phoneText string

var phoneTemplate = template.Must(template.New("phone").Parse(phoneText))

// Phone makes the demo phone for the customers of a demo.json.
func Phone(file string) (http.Handler, error) {
	d, err := demo.Load(file)
	if err != nil {
		return nil, err
	}
	return phone(d.Customers), nil
}

// phone shows the one-time code that a demo customer's authenticator would show. It stands for the app on a customer's own phone;
// the bank itself never shows a code.
func phone(people []demo.Identity) http.Handler {
	seeds := make(map[string]string, len(people))
	for _, p := range people {
		seeds[p.Username] = p.TOTP
	}
	type view struct {
		Username, Code, Error string
		Left                  int
		First                 []string
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
		if seed, ok := seeds[v.Username]; !ok {
			v.Error = fmt.Sprintf("No demo customer is called %.64q.", v.Username)
		} else if code, err := totp.GenerateCode(seed, now); err != nil {
			v.Error = err.Error()
		} else {
			v.Code = code[:3] + " " + code[3:]
		}
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		_ = phoneTemplate.Execute(w, v)
	})
}
