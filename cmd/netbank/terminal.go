package main

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/term"

	"netbank/cmd/internal/bank"
	"netbank/cmd/internal/cli"
)

// terminal is where a command reads and writes.
type terminal struct {
	in       io.Reader
	out, err io.Writer
	person   bool // somebody can be asked
}

// openTerminal reads from in, and writes to standard output and standard error.
func openTerminal(in *os.File) *terminal {
	// Not every character device has a person behind it: /dev/null is one.
	return &terminal{in: in, out: os.Stdout, err: os.Stderr, person: term.IsTerminal(int(in.Fd()))}
}

// print writes what a command made: its JSON as the node sent it, or lines for a person.
func (t *terminal) print(asJSON bool, text []byte, lines func()) error {
	if asJSON {
		_, err := t.out.Write(text)
		return err
	}
	lines()
	return nil
}

func (t *terminal) say(format string, args ...any) { fmt.Fprintf(t.out, format+"\n", args...) }

// agree asks whether to go on. Questions go to standard error, which is not in the way of --json.
func (t *terminal) agree(question string) error {
	if !t.person {
		return usage("this changes the cluster, and there is nobody to ask: add --yes to do it, or --dry-run to see what it would do")
	}
	fmt.Fprintf(t.err, "%s [y/N] ", question)
	line, err := bufio.NewReader(io.LimitReader(t.in, 64)).ReadString('\n')
	if answer := strings.ToLower(strings.TrimSpace(line)); (err == nil || err == io.EOF) && (answer == "y" || answer == "yes") {
		return nil
	}
	return &bank.Error{Code: cli.ExitFailure, Err: fmt.Errorf("not agreed to; nothing was changed")}
}
