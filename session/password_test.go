package session

import (
	"errors"
	"strings"
	"testing"
)

func TestHashIsReadStrictly(t *testing.T) {
	const salt, digest = "c29tZXNhbHRzb21lc2FsdA", "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8"
	good := "$argon2id$v=19$m=19456,t=2,p=1$" + salt + "$" + digest
	h, err := ParseHash(good)
	if err != nil || h.Params != Standard || string(h.Salt) != "somesaltsomesalt" || len(h.Digest) != 32 || h.String() != good {
		t.Fatalf("ParseHash = %+v, %v", h, err)
	}
	f := func(phc string) {
		t.Helper()
		if _, err := ParseHash(phc); err == nil {
			t.Fatalf("%q was read", phc)
		} else if strings.Contains(err.Error(), digest) || strings.Contains(err.Error(), salt) {
			t.Fatalf("the error holds the hash: %v", err)
		}
	}
	f("")
	f(good[1:])
	f(good + "$")
	f(good + "=")
	f(good + "\n")
	f(" " + good)
	f(strings.Repeat("$", 1000))
	swap := func(old, new string) { t.Helper(); f(strings.Replace(good, old, new, 1)) }
	swap("argon2id", "argon2i")
	swap("argon2id", "Argon2id")
	swap("v=19", "v=16")
	swap("v=19$", "")
	swap("m=19456,t=2,p=1", "t=2,m=19456,p=1")
	swap("m=19456,t=2,p=1", "m=19456,t=2,p=1,keyid=1")
	swap("m=19456", "m=+19456")
	swap("m=19456", "m=019456")
	swap("m=19456", "m=65537")
	swap("m=19456", "m=7")
	swap("m=19456", "m=99999999999999999999")
	swap("m=19456", "m=")
	swap("t=2", "t=0")
	swap("t=2", "t=11")
	swap("p=1", "p=0")
	swap("p=1", "p=257")
	swap(salt, "c29tZQ")
	swap(salt, salt[:10]+"\n"+salt[10:])
	swap(salt, strings.Repeat("AAAA", 22))
	swap(digest, "AAECAw")
	swap(digest, digest[:len(digest)-1]+"9") // a set trailing bit
	swap(digest, strings.Repeat("AAAA", 22))
}

func TestHashesAreThoseOfTheReferenceCode(t *testing.T) {
	// From src/test.c of P-H-C/phc-winner-argon2.
	f := func(phc string) {
		t.Helper()
		if h, err := ParseHash(phc); err != nil || !h.matches("password") || h.matches("Password") {
			t.Fatalf("%s: %v", phc, err)
		}
	}
	f("$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc")
	f("$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4")
}

func TestHashOfAPasswordMatchesItAndNoOther(t *testing.T) {
	phc, err := HashPassword(secret, Cheap)
	if err != nil {
		t.Fatal(err)
	}
	h, err := ParseHash(phc)
	if err != nil {
		t.Fatal(err)
	}
	if !h.matches(secret) || h.matches(secret+" ") || h.matches("") {
		t.Fatal("matches")
	}
	again, err := HashPassword(secret, Cheap)
	if err != nil || again == phc {
		t.Fatal("two hashes of one password are alike")
	}
	if dummyHash(Cheap).matches(secret) {
		t.Fatal("a password matches the dummy")
	}
}

func TestCheapHashesAreForTheLabOnly(t *testing.T) {
	f := func(p Params, cheap bool, ok bool) {
		t.Helper()
		if err := p.check(cheap); (err == nil) != ok {
			t.Fatalf("check(%+v, %v) = %v", p, cheap, err)
		}
	}
	f(Standard, false, true)
	f(Cheap, false, false)
	f(Cheap, true, true)
	f(Params{19455, 2, 1}, false, false)
	f(Params{19456, 1, 1}, false, false)
	f(Params{MemoryMaxKiB, PassesMax, LanesMax}, false, true)
	f(Params{}, true, false)
	f(Params{16, 1, 4}, true, false)
	weak, err := HashPassword(secret, Cheap)
	if err != nil || CheckPHC(weak, true) != nil || CheckPHC(weak, false) == nil || CheckPHC("x", true) == nil {
		t.Fatal("CheckPHC")
	}
	if _, err := HashPassword("short", Cheap); !errors.Is(err, ErrMalformed) {
		t.Fatalf("HashPassword = %v", err)
	}
	if _, err := HashPassword(secret, Params{}); err == nil {
		t.Fatal("a hash without cost was made")
	}
}
