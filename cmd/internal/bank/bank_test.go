package bank

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"netbank/cluster"
	"netbank/cluster/journal"
	"netbank/cluster/kek"
	coreadapter "netbank/core-adapter"
	"netbank/core-adapter/corelink"
	"netbank/session"
)

func TestUnsafeConfigurationsAreRefusedBeforeAnythingIsOpened(t *testing.T) {
	refuse := func(c Config, code int, want string) {
		t.Helper()
		if c.DataDir == "" && want != "--data-dir" {
			c.DataDir = t.TempDir()
		}
		if c.OperatorTokenFile == "" && want != "--operator-token-file" {
			c.OperatorTokenFile = filepath.Join(t.TempDir(), "token")
		}
		err := Run(context.Background(), c, slog.New(slog.NewTextHandler(io.Discard, nil)), nil)
		var e *Error
		if !errors.As(err, &e) || e.Code != code || !strings.Contains(err.Error(), want) {
			t.Errorf("Run = %v, want code %d and %q", err, code, want)
		}
	}
	refuse(Config{OperatorAddr: "0.0.0.0:9090", CoreSeats: 64}, ExitUsage, "loopback only; give --operator-cert")
	refuse(Config{OperatorAddr: "0.0.0.0:9090", OperatorCert: "a", OperatorKey: "b", CoreSeats: 64}, ExitUsage, "give all three")
	refuse(Config{OperatorAddr: "127.0.0.1:9090", CoreSeats: 64}, ExitUsage, "--operator-token-file")
	refuse(Config{OperatorAddr: "127.0.0.1:0", CoreSeats: 64, CustomerURL: "http://pay.bank.example"}, ExitUsage, "https")
	refuse(Config{OperatorAddr: "127.0.0.1:0", CoreSeats: 64}, ExitUsage, "--data-dir")
	refuse(Config{OperatorAddr: "9090", CoreSeats: 64}, ExitUsage, "host:port")
	refuse(Config{OperatorAddr: "127.0.0.1:0", CoreSeats: 0}, ExitUsage, "1 to 4096")
	refuse(Config{OperatorAddr: "127.0.0.1:0", CoreSeats: 64, PartnerCert: "nowhere.pem"}, ExitUsage, "--partner-cert")
}

func TestTokenIsMadeOnceAndRefusedWhenOthersCanReadIt(t *testing.T) {
	path := filepath.Join(t.TempDir(), "token")
	if err := EnsureToken(path); err != nil {
		t.Fatal(err)
	}
	first, err := ReadToken(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := EnsureToken(path); err != nil {
		t.Fatal(err)
	}
	if again, _ := ReadToken(path); again != first || len(first) != 2*tokenBytes {
		t.Errorf("the token changed from %d to %d characters", len(first), len(again))
	}
	if err := os.Chmod(path, 0o640); err != nil {
		t.Fatal(err)
	}
	if _, err := ReadToken(path); err == nil || !strings.Contains(err.Error(), "chmod 600") {
		t.Errorf("a token that others can read gave %v", err)
	}
}

func TestTokenIsWholeForAllWhoStartTogether(t *testing.T) {
	for range 50 {
		path := filepath.Join(t.TempDir(), "token")
		tokens := make([]string, 8)
		var all sync.WaitGroup
		for i := range tokens {
			all.Go(func() {
				err := EnsureToken(path)
				if err == nil {
					tokens[i], err = ReadToken(path)
				}
				if err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		if len(slices.Compact(tokens)) != 1 {
			t.Fatal("there are two tokens")
		}
		if left, _ := filepath.Glob(filepath.Join(filepath.Dir(path), ".token-*")); len(left) > 0 {
			t.Errorf("%v were left", left)
		}
	}
}

// A word that is missing from the joint would turn into "in doubt", or worse.
func TestEveryWordOfTheCoreHasItsCounterpart(t *testing.T) {
	f := func(from coreadapter.Word, want cluster.Word) {
		t.Helper()
		if got := answerOf(coreadapter.Answer{Word: from, ResponseCode: "51"}); got.Word != want || got.ResponseCode != "51" {
			t.Errorf("%v became %v", from, got)
		}
	}
	f(coreadapter.InDoubt, cluster.InDoubt)
	f(coreadapter.Approved, cluster.Approved)
	f(coreadapter.Declined, cluster.Declined)
	f(coreadapter.NotSent, cluster.NotSent)
	f(coreadapter.Reversed, cluster.Reversed)
	f(coreadapter.Unknown, cluster.Unknown)
	f(coreadapter.Running, cluster.Running)
	if len(words) != 7 {
		t.Errorf("%d words are joined; if there is a new one, add a line above", len(words))
	}
}

func TestOnlyACoreThatIsGoneCountsTowardsTheBreaker(t *testing.T) {
	f := func(err error, want bool) {
		t.Helper()
		if got := answerOf(coreadapter.Answer{Word: coreadapter.NotSent, Err: err}); got.Unreachable != want {
			t.Errorf("%v counts: %v", err, got.Unreachable)
		}
	}
	f(fmt.Errorf("debit: %w", corelink.ErrNotConnected), true)
	f(corelink.ErrTooLate, false)
	f(corelink.ErrBusy, false)
	f(corelink.ErrBadRequest, false)
}

func TestLateAnswersKeepTheirReference(t *testing.T) {
	id := journal.PaymentID{1: 2, 15: 3}
	late, ok := lateOf(coreadapter.LateAnswer{
		Reference: coreadapter.Reference{PaymentID: id.String(), Transmission: "1111000102", STAN: 7, RRN: "000000000001"},
		Answer:    coreadapter.Answer{Word: coreadapter.Approved},
	})
	if !ok || late.Payment != id || late.Wire.STAN != 7 || late.Wire.RRN != "000000000001" || late.Word != cluster.Approved {
		t.Errorf("lateOf = %+v, %v", late, ok)
	}
	if _, ok := lateOf(coreadapter.LateAnswer{Reference: coreadapter.Reference{PaymentID: "no id"}}); ok {
		t.Error("an answer to a payment that cannot be ours was taken")
	}
}

func TestCredentialsAreSealedForTheirCustomerAndWeakHashesRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "kek")
	if err := kek.Generate(path); err != nil {
		t.Fatal(err)
	}
	key, err := kek.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	weak, err := session.HashPassword("lotus-river-42", session.Cheap)
	if err != nil {
		t.Fatal(err)
	}
	product := credentials{key: key, params: session.Standard}
	if _, err := product.PasswordHash(7, weak); err == nil {
		t.Error("the product took a weak hash")
	}
	sealed, err := credentials{key: key, params: session.Cheap, allowCheap: true}.PasswordHash(7, weak)
	if err != nil {
		t.Fatal(err)
	}
	if opened, err := key.Open(session.PasswordPurpose(7), sealed); err != nil || string(opened) != weak {
		t.Errorf("opened %q, %v", opened, err)
	}
	if _, err := key.Open(session.PasswordPurpose(8), sealed); err == nil {
		t.Error("one customer's hash opens in another's record")
	}
}
