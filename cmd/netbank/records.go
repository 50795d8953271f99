package main

import (
	"fmt"
	"net/http"
	"net/url"
	"os"
	"strings"

	"github.com/alecthomas/kong"

	"netbank/cmd/internal/bank"
	"netbank/frontend/ops"
)

type partners struct {
	Import importing `cmd:"" help:"Add or replace partners: one JSON object a line."`
}

type customers struct {
	Import importing `cmd:"" help:"Add or replace customers: one JSON object a line."`
	Unlock unlock    `cmd:"" help:"Open what too many wrong attempts have locked."`

	ResetFactors resetFactors `cmd:"" help:"Take all passkeys of a customer away, who has lost a device. Know who is asking first."`
}

type importing struct {
	operator
	File   string `arg:"" help:"NDJSON file; - is standard input." type:"existingfile"`
	Reason string `help:"Why, for the audit; no customer's data."`
	DryRun bool   `help:"Read the file and count, change nothing."`
	JSON   bool   `name:"json" help:"Print JSON."`
}

func (i *importing) Run(ctx *kong.Context, t *terminal) error {
	file := t.in
	if i.File != "-" {
		opened, err := os.Open(i.File)
		if err != nil {
			return &bank.Error{Code: bank.ExitUsage, Err: err}
		}
		defer opened.Close()
		file = opened
	}
	path := "/api/v1/" + strings.Fields(ctx.Command())[0] + because(i.Reason)
	if i.DryRun {
		path += "&dryRun=1"
	}
	text, err := i.call(http.MethodPost, path, file)
	if err != nil {
		return err
	}
	if i.JSON {
		_, err = t.out.Write(text)
		return err
	}
	var v ops.Imported
	if err := answerInto(text, &v); err != nil {
		return err
	}
	if i.DryRun {
		fmt.Fprintf(t.out, "%d lines can be imported; nothing was changed\n", v.Imported)
		return nil
	}
	fmt.Fprintf(t.out, "imported %d\n", v.Imported)
	return nil
}

// because is the part of a call that says why.
func because(reason string) string { return "?" + url.Values{"reason": {reason}}.Encode() }

type unlock struct {
	operator
	Username string `arg:"" help:"The customer's user name."`
	Reason   string `help:"Why, for the audit; no customer's data."`
	DryRun   bool   `help:"Say what would be done, change nothing."`
}

func (u *unlock) Run(t *terminal) error {
	if u.DryRun {
		fmt.Fprintf(t.out, "would open every lock of %s; nothing was changed\n", u.Username)
		return nil
	}
	if _, err := u.call(http.MethodPost, "/api/v1/customers/"+url.PathEscape(u.Username)+"/unlock"+because(u.Reason), nil); err != nil {
		return err
	}
	fmt.Fprintf(t.out, "unlocked %s\n", u.Username)
	return nil
}

type resetFactors struct {
	changing
	Username string `arg:"" help:"The customer's user name."`
}

// Help is what `netbank customers reset-factors --help` says first.
func (*resetFactors) Help() string {
	return `Takes all passkeys of a customer away, voids the code that was sent last, ends the session and opens the locks. Password, authenticator and
telephone number stay: 'netbank customers import' changes them. Reason and operator enter the audit ('netbank audit').

Examples:
  netbank customers reset-factors wang --reason "lost the phone; recognised by call-back" --dry-run
  netbank customers reset-factors wang --reason "lost the phone; recognised by call-back"`
}

// Run resets them.
func (f *resetFactors) Run(t *terminal) error {
	return f.change(t, "/api/v1/customers/"+url.PathEscape(f.Username)+"/reset-factors", ops.ResetRequest{Reason: f.Reason}, nil)
}
