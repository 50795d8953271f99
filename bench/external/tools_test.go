package external

import (
	"bytes"
	"encoding/json"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// bank gives the data directory of a running demo bank: the one that $NETBANK_DEMO names, or one of the test's own.
func bank(t *testing.T) string {
	t.Helper()
	if data := os.Getenv("NETBANK_DEMO"); data != "" {
		return data
	}
	dir := t.TempDir()
	program, data := filepath.Join(dir, "netbank-lab"), filepath.Join(dir, "data")
	build := exec.Command("go", "build", "-o", program, "netbank/cmd/netbank-lab")
	build.Env = append(os.Environ(), "CGO_ENABLED=0") // as the Makefile does, so that it is built once
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("building netbank-lab: %v\n%s", err, out)
	}
	args := []string{"dev", "--alone", "--data-dir", data, "--customers", "40", "--password-hash", "cheap", "--core-model", "fixed:0"}
	start(t, exec.Command(program, append(args, freeAddresses(t)...)...))
	return data
}

// freeAddresses gives the flags that move each address of a demo bank to a port that is free.
func freeAddresses(t *testing.T) (flags []string) {
	t.Helper()
	for _, flag := range []string{"--customer-addr", "--partner-addr", "--operator-addr", "--shop-addr", "--notify-addr", "--core-addr", "--core-admin"} {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close() // not before all have one, or two would get the same
		flags = append(flags, flag, l.Addr().String())
	}
	return flags
}

// start runs a demo bank until the test is over, and waits until it says that it is up.
func start(t *testing.T, lab *exec.Cmd) {
	t.Helper()
	said, err := os.Create(filepath.Join(t.TempDir(), "said"))
	if err != nil {
		t.Fatal(err)
	}
	defer said.Close()
	lab.Stdout, lab.Stderr = said, said
	lab.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := lab.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		_ = lab.Wait()
		close(ended)
	}()
	t.Cleanup(func() {
		_ = lab.Process.Signal(syscall.SIGTERM)
		select {
		case <-ended:
		case <-time.After(30 * time.Second):
			_ = syscall.Kill(-lab.Process.Pid, syscall.SIGKILL)
			<-ended
		}
	})
	for limit := time.After(time.Minute); ; {
		text, err := os.ReadFile(said.Name())
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(text, []byte("Ctrl-C")) {
			return
		}
		select {
		case <-ended:
			t.Fatalf("netbank-lab ended:\n%s", text)
		case <-limit:
			t.Fatalf("netbank-lab did not come up:\n%s", text)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// call runs a script and gives what it printed.
func call(t *testing.T, line string, args ...string) []byte {
	t.Helper()
	cmd := exec.Command("bash", append([]string{"-o", "pipefail", "-c", line, "bash"}, args...)...)
	var failure bytes.Buffer
	cmd.Stderr = &failure
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s: %v\n%s%s", line, err, out, failure.String())
	}
	return out
}

func decode(t *testing.T, text []byte, into any) {
	t.Helper()
	if err := json.Unmarshal(text, into); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
}

// What CI has of these tools is what happens to be on its machine; each script is run for about a second where its tool is.
func TestScriptsDriveABank(t *testing.T) {
	needs(t, "bash", "jq", "curl")
	some := false
	for _, tool := range []string{"wrk", "vegeta", "k6"} {
		_, err := exec.LookPath(tool)
		some = some || err == nil
	}
	if !some {
		t.Skip("none of wrk, vegeta and k6 is installed here; docs/load-tools.md says how to get them")
	}
	data := bank(t)
	t.Run("wrk", func(t *testing.T) {
		needs(t, "wrk")
		out := bytes.TrimSpace(call(t, `./wrk.sh "$1" -t1 -c2 -d1s`, data))
		var said struct{ Requests, Refused, SocketErrors int64 }
		decode(t, out[bytes.LastIndexByte(out, '\n')+1:], &said)
		if said.Requests == 0 || said.Refused+said.SocketErrors != 0 { // timeouts are the machine's
			t.Errorf("%+v", said)
		}
	})
	t.Run("vegeta", func(t *testing.T) {
		needs(t, "vegeta")
		for _, script := range []string{"status", "create", "page"} {
			var said struct {
				Requests    int64
				Success     float64
				StatusCodes map[string]int64 `json:"status_codes"`
			}
			decode(t, call(t, `"./vegeta-$2.sh" "$1" -rate=20 -duration=1s | vegeta report -type=json`, data, script), &said)
			if said.Requests == 0 || said.Success != 1 {
				t.Errorf("%s: %+v", script, said)
			}
		}
	})
	t.Run("k6", func(t *testing.T) {
		needs(t, "k6")
		summary := filepath.Join(t.TempDir(), "summary.json")
		var said struct {
			Metrics map[string]struct{ Count, Fails int64 }
		}
		call(t, `./k6.sh "$1" k6-flow.js -e RATE=4 -e DURATION=1s -e THINK=0 --summary-export "$2"`, data, summary)
		decode(t, []byte(read(t, summary)), &said)
		if m := said.Metrics; m["flows_paid"].Count == 0 || m["flows_lost"].Count+m["flows_refused"].Count != 0 {
			t.Errorf("%+v", m)
		}
		call(t, `./k6.sh "$1" k6-page.js -e RATE=20 -e DURATION=1s --summary-export "$2"`, data, summary)
		clear(said.Metrics)
		decode(t, []byte(read(t, summary)), &said)
		if m := said.Metrics; m["iterations"].Count == 0 {
			t.Errorf("%+v", m)
		}
	})
	t.Run("own", func(t *testing.T) {
		out := string(call(t, `RATE=20 DURATION=1s ./own.sh "$1" open`, data))
		if !strings.Contains(out, " 0 lost") {
			t.Error(out)
		}
	})
	t.Run("stall", func(t *testing.T) {
		if out := call(t, `./stall.sh "$1" 0 0.1 echo ran`, data); string(out) != "ran\n" {
			t.Errorf("%q", out)
		}
		call(t, `./payments.sh "$1" 1`, data) // the bank goes on
	})
}
