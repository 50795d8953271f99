package session

import (
	"testing"
	"time"
)

func benchStore(b *testing.B, cache profiles) (*Store, SignedIn) {
	s := newStore(b, newBank(b), cache)
	in := signedIn(b, s)
	b.ReportAllocs()
	return s, in
}

func BenchmarkOpenHit(b *testing.B) {
	s, in := benchStore(b, kept{})
	cookie := []byte(in.Cookie)
	for b.Loop() {
		if _, err := s.Open(cookie); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkOpenRistretto(b *testing.B) {
	s, in := benchStore(b, nil)
	cookie := []byte(in.Cookie)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if _, err := s.Open(cookie); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkOpenMiss(b *testing.B) {
	s, in := benchStore(b, dropped{})
	cookie := []byte(in.Cookie)
	for b.Loop() {
		if _, err := s.Open(cookie); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkOpenForged(b *testing.B) {
	s, in := benchStore(b, dropped{})
	cookie := flip(in.Cookie, 40)
	for b.Loop() {
		if _, err := s.Open(cookie); err == nil {
			b.Fatal("opened")
		}
	}
}

func BenchmarkSealCookie(b *testing.B) {
	s, in := benchStore(b, dropped{})
	c, now := in.Session.state(), time.Now()
	for b.Loop() {
		if _, err := s.sealCookie(&c, now); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkConsent(b *testing.B) {
	s, in := benchStore(b, dropped{})
	for b.Loop() {
		token, err := s.SealConsent(in.Session, seen)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := s.OpenConsent(in.Session, []byte(token)); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkLinkMAC(b *testing.B) {
	s, _ := benchStore(b, dropped{})
	for b.Loop() {
		s.LinkMAC(payment)
	}
}

func BenchmarkCheckLink(b *testing.B) {
	s, _ := benchStore(b, dropped{})
	link := []byte(s.LinkMAC(payment))
	for b.Loop() {
		if !s.CheckLink(payment, link) {
			b.Fatal("refused")
		}
	}
}

func BenchmarkCSRF(b *testing.B) {
	_, in := benchStore(b, dropped{})
	for b.Loop() {
		if !in.Session.CheckCSRF([]byte(in.Session.CSRFToken())) {
			b.Fatal("refused")
		}
	}
}

func BenchmarkMatchCode(b *testing.B) {
	b.ReportAllocs()
	now := time.Now()
	for b.Loop() {
		matchCode(seed, "123456", now)
	}
}

func BenchmarkArgon2id(b *testing.B) {
	b.ReportAllocs()
	h := dummyHash(Standard)
	for b.Loop() {
		h.matches(secret)
	}
}
