package main

import (
	"io"
	"os"

	"netbank/cmd/internal/bank"
	"netbank/session/breached"
)

type breachedVerb struct {
	Build breachedBuild `cmd:"" help:"Make the file for 'netbank serve --breached-file' of a list of passwords, or of their SHA-1."`
}

type breachedBuild struct {
	List  string `arg:"" help:"One SHA-1 of 40 hexadecimal digits in each line, sorted; a count behind a colon is passed over; - is standard input." type:"existingfile"`
	Out   string `arg:"" help:"The file to make." type:"path"`
	Plain bool   `help:"The list holds passwords, in any order."`
}

func (b *breachedBuild) Run(t *terminal) error {
	var list io.Reader = t.in
	if b.List != "-" {
		opened, err := os.Open(b.List)
		if err != nil {
			return &bank.Error{Code: bank.ExitUsage, Err: err}
		}
		defer opened.Close()
		list = opened
	}
	count, err := breached.Build(b.Out, list, b.Plain)
	if err != nil {
		return err
	}
	t.say("%d passwords in %s", count, b.Out)
	return nil
}
