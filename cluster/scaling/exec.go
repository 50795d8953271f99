package scaling

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
	"unicode"
)

// Bounds of the exec provider.
const (
	// ExecOutputMax is how much a command's output may have.
	ExecOutputMax = 64 << 10
	// ExecWordsMax is how many words a command may have.
	ExecWordsMax = 64
	// execPatience is how long a command that was killed may keep its output open.
	execPatience = time.Second
)

// Exec runs workers by an operator's command: for standby machines that are enrolled already, for a cloud's own tool, for anything.
//
// The command is words, not a shell's line. In each, {verb} becomes scale or status, {workers} the number that is wanted (of status: 0) and
// {fence} the wish's fence. It ends with 0 and, for status, prints one JSON object: {"wanted": 5, "running": 4}, without running where it does not know.
type Exec struct {
	Words []string
}

var _ Provider = (*Exec)(nil)

// ParseExec takes a command apart at its blanks. There are no quotes: a path with a blank is for a script.
func ParseExec(line string) (*Exec, error) {
	words := strings.Fields(line)
	switch {
	case len(words) == 0:
		return nil, errors.New("scaling: the command is empty; write the program and its words, such as /usr/local/bin/standby {verb} {workers} {fence}")
	case len(words) > ExecWordsMax:
		return nil, fmt.Errorf("scaling: the command has %d words, of %d; call a script", len(words), ExecWordsMax)
	case strings.ContainsAny(line, "'\"\\`|&;<>$"):
		return nil, errors.New("scaling: the command holds a sign that only a shell understands, and there is none; put it into a script")
	case !slices.ContainsFunc(words, func(w string) bool { return strings.Contains(w, "{verb}") }):
		return nil, errors.New("scaling: the command does not hold {verb}, and could not tell scale from status; add it")
	case !slices.ContainsFunc(words, func(w string) bool { return strings.Contains(w, "{workers}") }):
		return nil, errors.New("scaling: the command does not hold {workers}, and could not be told how many; add it")
	}
	return &Exec{Words: words}, nil
}

// Name implements Provider.
func (*Exec) Name() string { return "exec" }

// Scale implements Provider.
func (e *Exec) Scale(ctx context.Context, o Order) error {
	if err := o.check(); err != nil {
		return err
	}
	_, err := e.run(ctx, "scale", o)
	return err
}

// Status implements Provider.
func (e *Exec) Status(ctx context.Context) (Standing, error) {
	out, err := e.run(ctx, "status", Order{})
	if err != nil {
		return Standing{}, err
	}
	return parseStatus(out)
}

// parseStatus reads what the command's status prints.
func parseStatus(out []byte) (Standing, error) {
	var said struct {
		Wanted  *int `json:"wanted"`
		Running *int `json:"running"`
	}
	d := json.NewDecoder(bytes.NewReader(out))
	d.DisallowUnknownFields()
	const remedy = `have it print {"wanted": 5, "running": 4}, and nothing else, on standard output`
	if err := d.Decode(&said); err != nil {
		return Standing{}, fault(err, remedy, "what the command's status prints cannot be read: %v", err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return Standing{}, fault(nil, remedy, "the command's status prints more than one object")
	}
	s := Standing{Running: -1}
	if said.Wanted == nil || *said.Wanted < 0 || *said.Wanted > WorkersMax {
		return Standing{}, fault(nil, remedy, "the command's status does not say how many workers are wanted, 0 to %d", WorkersMax)
	}
	s.Wanted = *said.Wanted
	if said.Running != nil {
		if s.Running = *said.Running; s.Running < 0 || s.Running > WorkersMax {
			return Standing{}, fault(nil, remedy, "the command's status says that %d workers run; 0 to %d can", s.Running, WorkersMax)
		}
	}
	return s, nil
}

func (e *Exec) run(ctx context.Context, verb string, o Order) ([]byte, error) {
	replaced := strings.NewReplacer("{verb}", verb, "{workers}", strconv.Itoa(o.Workers), "{fence}", strconv.FormatUint(o.Fence, 10))
	words := make([]string, len(e.Words))
	for i, w := range e.Words {
		words[i] = replaced.Replace(w)
	}
	return execute(ctx, "the command's "+verb, words, nil)
}

// execute runs a program without a shell, and gives what it prints.
func execute(ctx context.Context, what string, words []string, in io.Reader) ([]byte, error) {
	cmd := exec.CommandContext(ctx, words[0], words[1:]...)
	cmd.Stdin = in
	out, said := &bounded{room: ExecOutputMax}, &bounded{room: ExecOutputMax}
	cmd.Stdout, cmd.Stderr = out, said
	// What the command has started ends with it.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = execPatience
	err := cmd.Run()
	var exit *exec.ExitError
	switch {
	case ctx.Err() != nil:
		return nil, fault(ctx.Err(), "have it return as soon as what it does is under way", "%s did not end in time", what)
	case errors.As(err, &exit):
		return nil, fault(err, "run it by hand: "+strings.Join(words, " "), "%s failed: %v: %s", what, err, lastLine(said.text))
	case err != nil:
		return nil, fault(err, "see that the program exists, and that this one may run it", "%s cannot be run: %v", what, err)
	case out.more:
		return nil, fault(nil, "have it print less", "%s prints more than %d bytes", what, ExecOutputMax)
	}
	return out.text, nil
}

// bounded keeps the first bytes of an output.
type bounded struct {
	text []byte
	room int
	more bool
}

func (b *bounded) Write(text []byte) (int, error) {
	n := min(len(text), b.room-len(b.text))
	b.text = append(b.text, text[:n]...)
	b.more = b.more || n < len(text)
	return len(text), nil
}

// lastLine gives the last words of a program, fit for one line.
func lastLine(text []byte) string {
	lines := strings.Split(strings.TrimSpace(strings.ToValidUTF8(string(text), "?")), "\n")
	last := strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, lines[len(lines)-1])
	if r := []rune(last); len(r) > 200 {
		last = string(r[:199]) + "…"
	}
	return last
}
