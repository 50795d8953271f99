package generator

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"netbank/bench/demo"
	"netbank/bench/load"
	"netbank/bench/people"
)

// asChild makes this test program a generator process.
const asChild = "NETBANK_TEST_GENERATOR"

func TestMain(m *testing.M) {
	switch os.Getenv(asChild) {
	case "serve":
		if Serve(context.Background(), os.Stdin, os.Stdout) != nil {
			os.Exit(1)
		}
		return
	case "die":
		os.Exit(3)
	}
	os.Exit(m.Run())
}

func job() people.Job {
	return people.Job{
		Name: "flow", Kind: people.Flow, Seed: 1, Curve: load.Constant(10), Measure: time.Second, Connections: 8, Customers: people.Range{To: 10},
	}
}

func children(t *testing.T, n int, as string) *Processes {
	t.Helper()
	p, err := Start(n, func() *exec.Cmd {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), asChild+"="+as)
		return cmd
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	return p
}

// noBank is a demo.json whose doors nobody opens.
func noBank(t *testing.T) *demo.Demo {
	t.Helper()
	dir := t.TempDir()
	d := &demo.Demo{Version: demo.Version, Customer: demo.Customer{URL: "http://127.0.0.1:1"}, Partner: demo.Partner{URL: "https://127.0.0.1:1", CA: "none.pem"}}
	if err := d.Write(dir); err != nil {
		t.Fatal(err)
	}
	d, err := demo.Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestServe_EndsWithItsInputAndSaysWhyItCannot(t *testing.T) {
	text, err := json.Marshal(order{Demo: noBank(t).Path("."), Jobs: []people.Job{job()}})
	if err != nil {
		t.Fatal(err)
	}
	f := func(in, want string, ok bool) {
		t.Helper()
		out := new(bytes.Buffer)
		err := Serve(t.Context(), strings.NewReader(in), out)
		if (err == nil) != ok || !strings.Contains(out.String(), want) {
			t.Errorf("%.60q: %v, said %q; want %q", in, err, out, want)
		}
	}
	f("", "", true)
	f("{", "", false)
	f("nonsense", "", false)
	f(`{"demo":"/nowhere","jobs":[]}`, "/nowhere", true)
	f(string(text), "none.pem", true)
	// One that cannot is no reason not to try the next.
	f(string(text)+"\n"+string(text), "none.pem", true)
}

func TestProcesses_SayWhichCannot(t *testing.T) {
	if _, err := children(t, 2, "serve").Run(t.Context(), noBank(t), []people.Job{job()}, func() {}); err == nil ||
		!strings.Contains(err.Error(), "process 1 of 2") || !strings.Contains(err.Error(), "process 2 of 2") || !strings.Contains(err.Error(), "none.pem") {
		t.Errorf("%v", err)
	}
	if _, err := children(t, 1, "die").Run(t.Context(), noBank(t), []people.Job{job()}, func() {}); err == nil || !strings.Contains(err.Error(), "process 1 of 1") {
		t.Errorf("%v", err)
	}
}

func TestProcesses_EndWhenTheRunIsCalledOff(t *testing.T) {
	p := children(t, 2, "serve")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := p.Run(ctx, noBank(t), []people.Job{job()}, func() {}); err == nil {
		t.Error("a run that was called off has no error")
	}
}

func TestStart_KnowsItsBounds(t *testing.T) {
	for _, n := range []int{0, ProcessesMax + 1} {
		if _, err := Start(n, func() *exec.Cmd { return nil }); err == nil {
			t.Errorf("%d processes are taken", n)
		}
	}
}
