package load

import (
	"errors"
	"testing"
)

func TestReadHead(t *testing.T) {
	f := func(in string, status, body int, closing bool) {
		t.Helper()
		h, ok, err := readHead([]byte(in))
		if err != nil || !ok {
			t.Errorf("%q: %v, %v", in, ok, err)
			return
		}
		if h.status != status || h.body != body || h.close != closing {
			t.Errorf("%q: status %d, body %d, close %v", in, h.status, h.body, h.close)
		}
	}
	f("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", 200, 5, false)
	f("HTTP/1.1 200\r\ncontent-length:5\r\n\r\n", 200, 5, false)
	f("HTTP/1.1 303 See Other\r\nLocation: /x\r\nContent-Length: 0\r\nConnection: close\r\n\r\n", 303, 0, true)
	f("HTTP/1.1 204 No Content\r\n\r\n", 204, 0, false)
	f("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\n", 200, 5, false)
}

func TestReadHead_WaitsForTheRest(t *testing.T) {
	whole := "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"
	for i := range len(whole) {
		if _, ok, err := readHead([]byte(whole[:i])); ok || err != nil {
			t.Errorf("%d of %d bytes: %v, %v", i, len(whole), ok, err)
		}
	}
}

func TestReadHead_RefusesWhatItDoesNotUnderstand(t *testing.T) {
	f := func(in string, want error) {
		t.Helper()
		if _, _, err := readHead([]byte(in)); !errors.Is(err, want) {
			t.Errorf("%.60q: %v", in, err)
		}
	}
	f("HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\n", ErrMalformed)
	f("HTTP/1.1 2x0 OK\r\nContent-Length: 5\r\n\r\n", ErrMalformed)
	f("HTTP/1.1 2000 OK\r\nContent-Length: 5\r\n\r\n", ErrMalformed)
	f("HTTP/1.1 100 Continue\r\n\r\n", ErrMalformed)
	f("HTTP/1.1 200 OK\r\n\r\n", ErrMalformed)
	f("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", ErrMalformed)
	f("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n", ErrMalformed)
	f("HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n", ErrMalformed)
	f("HTTP/1.1 200 OK\r\nContent-Length: \r\n\r\n", ErrMalformed)
	f("HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\n", ErrTooLarge)
	f("HTTP/1.1 200 OK\r\nX: "+string(make([]byte, HeadBytesMax))+"\r\n\r\n", ErrTooLarge)
	f(string(make([]byte, HeadBytesMax+1)), ErrTooLarge)
	f("\r\n\r\n", ErrMalformed)
}

func TestResponseHeaderAndCookie(t *testing.T) {
	h, ok, err := readHead([]byte("HTTP/1.1 303 See Other\r\nset-cookie: lang=en; path=/\r\nLocation:  /pay?s=1 \r\nSet-Cookie: bank=abc; HttpOnly\r\nContent-Length: 0\r\n\r\n"))
	if err != nil || !ok {
		t.Fatal(ok, err)
	}
	r := Response{head: h.lines}
	if got := string(r.Header("location")); got != "/pay?s=1" {
		t.Errorf("Location is %q", got)
	}
	if r.Header("Locatio") != nil || r.Header("X-None") != nil {
		t.Error("a header was found that is not there")
	}
	f := func(name, want string, ok bool) {
		t.Helper()
		got, found := r.Cookie(name)
		if string(got) != want || found != ok {
			t.Errorf("cookie %s is %q, %v", name, got, found)
		}
	}
	f("bank", "abc", true)
	f("lang", "en", true)
	f("ban", "", false)
}

func FuzzReadHead(f *testing.F) {
	f.Add([]byte("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"))
	f.Add([]byte("HTTP/1.1 303 See Other\r\nSet-Cookie: a=b; c\r\nLocation: /x\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"))
	f.Add([]byte("HTTP/1.1 204 No Content\r\n\r\n"))
	f.Add([]byte("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"))
	f.Add([]byte("HTTP/1.1 \r\n\r\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		h, ok, err := readHead(b)
		if err != nil || !ok {
			return
		}
		if h.status < 200 || h.status > 999 || h.size > len(b) || h.body < 0 || h.body > BodyBytesMax || len(h.lines) > h.size {
			t.Fatalf("%q gives %+v", b, h)
		}
		r := Response{head: h.lines}
		r.Header("Location")
		r.Cookie("netbank")
	})
}

func BenchmarkReadHead(b *testing.B) {
	in := []byte("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 5\r\nX-Request-ID: 0197a9a4-5b7f-7000-8000-000000000000\r\n\r\nhello")
	b.ReportAllocs()
	for b.Loop() {
		if _, ok, err := readHead(in); !ok || err != nil {
			b.Fatal(ok, err)
		}
	}
}
