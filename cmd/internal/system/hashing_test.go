package system

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// hashing gives the process that hashes passwords for the bank, its child, or 0.
func (r *rig) hashing() int {
	r.t.Helper()
	var all []string
	lists, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", r.bank.cmd.Process.Pid))
	for _, path := range lists {
		text, err := os.ReadFile(path)
		if err != nil {
			continue // a thread that has ended
		}
		all = append(all, strings.Fields(string(text))...)
	}
	if len(all) == 0 {
		return 0
	}
	if len(all) > 1 {
		r.t.Fatalf("children of the bank: %v; want the hashing process alone", all)
	}
	pid, err := strconv.Atoi(all[0])
	if err != nil {
		r.t.Fatal(err)
	}
	return pid
}

// gone reports whether a process has ended; one that nobody has waited for has no command line either.
func gone(pid int) bool {
	line, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	return err != nil || len(line) == 0
}

func (r *rig) metric(line string) bool {
	r.t.Helper()
	return strings.Contains("\n"+string(r.fetch(r.demo.Operator.URL+"/metrics")), "\n"+line+"\n")
}

func TestIsolation_PasswordsAreHashedByAProcessThatEndsWithTheBankHoweverThatEnds(t *testing.T) {
	r := newRig(t, 40, "fixed:1ms")
	r.customersPay("with the hashing process", 3)
	first := r.hashing()
	if first == 0 || !r.metric("netbank_signin_hash_fallback_total 0") {
		t.Errorf("the bank hashed a password itself; hashing process %d", first)
	}
	// Without it nobody notices, and it is started again.
	hashing, err := os.FindProcess(first)
	if err != nil {
		t.Fatal(err)
	}
	if err := hashing.Kill(); err != nil {
		t.Fatal(err)
	}
	r.await("the end of the hashing process", func() bool { return gone(first) }, r.bank)
	second, tries := 0, 0
	r.await("another hashing process", func() bool {
		tries++ // a name of its own for each, or it would be the first one's payment again
		r.customersPay(fmt.Sprint("after the hashing process was killed ", tries), 1)
		second = r.hashing()
		return second != 0
	}, r.bank)
	r.bank.kill()
	r.await("the end of the hashing process of a killed bank", func() bool { return gone(second) })
	r.startBank()
	third := r.hashing()
	if code := r.bank.stop(t); code != 0 {
		t.Errorf("exit code %d\n%s", code, r.bank.tail())
	}
	if third == 0 || !gone(third) {
		t.Errorf("hashing process %d, and it outlived a bank that was stopped", third)
	}
}

// What the bank starts is a command of the program that runs it.
func TestIsolation_BothProgramsCanHashPasswords(t *testing.T) {
	for _, program := range []string{bankProgram, labProgram} {
		if out, err := exec.Command(program, "derive").CombinedOutput(); err != nil || len(out) != 0 { // its input is empty
			t.Errorf("%s derive: %v: %s", filepath.Base(program), err, out)
		}
	}
}
