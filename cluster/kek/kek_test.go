package kek

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestSealOpensForItsPurposeAndKeyOnly(t *testing.T) {
	first, _ := New(bytes.Repeat([]byte{1}, Size))
	second, _ := New(bytes.Repeat([]byte{2}, Size))
	sealed := first.Seal("totp", []byte("seed"))
	if bytes.Contains(sealed, []byte("seed")) {
		t.Fatal("the secret stands in the sealed value")
	}
	if got, err := first.Open("totp", sealed); err != nil || string(got) != "seed" {
		t.Fatalf("Open = %q, %v", got, err)
	}
	refuse := func(k *Key, purpose string, sealed []byte) {
		t.Helper()
		if _, err := k.Open(purpose, sealed); !errors.Is(err, ErrSealed) {
			t.Fatalf("Open = %v, want ErrSealed", err)
		}
	}
	refuse(second, "totp", sealed)
	refuse(first, "password", sealed)
	refuse(first, "totp", sealed[:len(sealed)-1])
	refuse(first, "totp", nil)
}

func TestKeyFileIsPrivateAndNeverOverwritten(t *testing.T) {
	path := filepath.Join(t.TempDir(), "kek")
	if _, err := Load(path); err == nil || !strings.Contains(err.Error(), "netbank keygen") {
		t.Fatalf("Load of nothing = %v, want the remedy named", err)
	}
	if err := Generate(path); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(path); err != nil {
		t.Fatal(err)
	}
	if err := Generate(path); err == nil {
		t.Fatal("Generate overwrote a key")
	}
	if err := os.Chmod(path, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(path); err == nil || !strings.Contains(err.Error(), "chmod 600") {
		t.Fatalf("Load of a file others can read = %v, want the remedy named", err)
	}
}

func TestAKeysIDTellsKeysApartAndTellsNothingOfThem(t *testing.T) {
	id := func(first byte) string {
		t.Helper()
		secret := make([]byte, Size)
		secret[0] = first
		k, err := New(secret)
		if err != nil {
			t.Fatal(err)
		}
		return k.ID()
	}
	// HMAC-SHA256 of the text under 32 zero bytes, by openssl.
	if got := id(0); got != "6371ca40eb2964db" {
		t.Errorf("the id is %s", got)
	}
	if id(0) == id(1) {
		t.Error("two keys have one id")
	}
}

func TestDerivedSecretsDifferByKeyAndPurpose(t *testing.T) {
	secret := bytes.Repeat([]byte{1}, Size)
	first, _ := New(secret)
	again, _ := New(secret)
	second, _ := New(bytes.Repeat([]byte{2}, Size))
	derive := func(k *Key, purpose string) string {
		t.Helper()
		got, err := k.Derive(purpose, Size)
		if err != nil || len(got) != Size {
			t.Fatalf("Derive = %x, %v", got, err)
		}
		return string(got)
	}
	one := derive(first, "authority")
	if one != derive(again, "authority") {
		t.Error("the same key and purpose gave two secrets")
	}
	if one == derive(second, "authority") || one == derive(first, "other") || one == string(secret) {
		t.Error("another key or purpose gave the same secret, or the key itself")
	}
	for _, length := range []int{0, -1, DerivedBytesMax + 1} {
		if _, err := first.Derive("authority", length); err == nil {
			t.Errorf("a secret of %d bytes was given", length)
		}
	}
}
