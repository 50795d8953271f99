package breached

import (
	"bytes"
	"crypto/sha1"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// expect asks a list.
func expect(t *testing.T, list interface{ Listed(string) (bool, error) }, password string, want bool) {
	t.Helper()
	if got, err := list.Listed(password); err != nil || got != want {
		t.Errorf("%q is listed: %v, %v; want %v", password, got, err, want)
	}
}

func TestCommonPasswordsAreListedInWhateverCase(t *testing.T) {
	list, err := Common()
	if err != nil {
		t.Fatal(err)
	}
	if list.Count() < 3000 { // OWASP ASVS 5.0, 6.2.4
		t.Errorf("the list has %d passwords", list.Count())
	}
	for _, password := range []string{"password", "Password", "PASSWORD1", "12345678", "iloveyou", "qwertyuiop"} {
		expect(t, list, password, true)
	}
	expect(t, list, "correct horse battery", false)
	expect(t, list, "", false)
}

func hashes(passwords ...string) string {
	var all []string
	for _, p := range passwords {
		sum := sha1.Sum([]byte(p))
		all = append(all, strings.ToUpper(hex.EncodeToString(sum[:]))+":3")
	}
	slices.Sort(all)
	return strings.Join(all, "\r\n") + "\r\n"
}

func TestAFileHoldsWhatItWasBuiltFrom(t *testing.T) {
	f := func(list string, plain bool, count int) {
		t.Helper()
		path := filepath.Join(t.TempDir(), "list")
		if n, err := Build(path, strings.NewReader(list), plain); err != nil || n != count {
			t.Fatalf("Build = %d, %v; want %d", n, err, count)
		}
		file, err := Open(path)
		if err != nil {
			t.Fatal(err)
		}
		defer file.Close()
		if file.Count() != count {
			t.Errorf("%d entries, want %d", file.Count(), count)
		}
		for _, p := range []string{"tr0ub4dor", "第一个密码", "zebra"} {
			expect(t, file, p, strings.Contains(list, p) || strings.Contains(list, strings.TrimSpace(hashes(p))))
		}
		expect(t, file, "Zebra", false)
	}
	f("", true, 0)
	f("zebra\n\ntr0ub4dor\nzebra\n第一个密码", true, 3)
	f(hashes("zebra", "tr0ub4dor", "第一个密码"), false, 3)
	f(strings.Repeat(hashes("zebra"), 3), false, 1)
}

func TestAListThatCannotBeReadLeavesTheFileAsItWas(t *testing.T) {
	path := filepath.Join(t.TempDir(), "list")
	if _, err := Build(path, strings.NewReader("zebra"), true); err != nil {
		t.Fatal(err)
	}
	before, _ := os.ReadFile(path)
	f := func(list string, plain bool, want string) {
		t.Helper()
		if _, err := Build(path, strings.NewReader(list), plain); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Build = %v, want %q", err, want)
		}
		if after, _ := os.ReadFile(path); !bytes.Equal(before, after) {
			t.Error("the file is another")
		}
		if _, err := os.Stat(path + ".new"); err == nil {
			t.Error("something was left")
		}
	}
	f("zebra\n", false, "line 1 is not a SHA-1")
	f(hashes("zebra")+hashes("zebra")[:39], false, "line 2 is not a SHA-1")
	f("F"+hashes("zebra")[1:]+"0"+hashes("zebra")[1:], false, "LC_ALL=C sort")
	f(strings.Repeat("a", LineBytesMax+1), true, "4096 bytes")
}

func TestAFileThatIsNotWholeIsRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "list")
	if _, err := Build(path, strings.NewReader("zebra\nhorse"), true); err != nil {
		t.Fatal(err)
	}
	whole, _ := os.ReadFile(path)
	f := func(text []byte) {
		t.Helper()
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(path); !errors.Is(err, ErrFormat) {
			t.Errorf("Open = %v", err)
		}
	}
	f(nil)
	f(whole[:headerSize])
	f(whole[:len(whole)-entrySize])
	f(whole[:len(whole)-1])
	f(append(whole, whole[headerSize:]...))
	f(bytes.Replace(whole, []byte("breached 1"), []byte("breached 2"), 1))
	if _, err := Open(path + "x"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("Open = %v", err)
	}
}

func TestARangeSearchLearnsFiveDigits(t *testing.T) {
	sum := sha1.Sum([]byte("zebra"))
	digits := strings.ToUpper(hex.EncodeToString(sum[:]))
	answer, status := "", http.StatusOK
	var asked []string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked = append(asked, r.URL.RequestURI())
		w.WriteHeader(status)
		_, _ = w.Write([]byte(answer))
	}))
	defer server.Close()
	list, err := NewRange(server.URL + "/range/")
	if err != nil {
		t.Fatal(err)
	}
	padding := strings.Repeat("0", 35) + ":0\r\n"
	answer = padding + digits[5:] + ":42\r\n" + padding
	expect(t, list, "zebra", true)
	answer = padding + digits[5:] + ":0"
	expect(t, list, "zebra", false)
	answer = padding
	expect(t, list, "zebra", false)
	if want := "/range/" + digits[:5]; slices.ContainsFunc(asked, func(a string) bool { return a != want }) {
		t.Errorf("asked for %q, want %q", asked, want)
	}
	f := func(text string, code int) {
		t.Helper()
		answer, status = text, code
		if found, err := list.Listed("zebra"); err == nil || found || strings.Contains(err.Error(), digits[:5]) {
			t.Errorf("Listed = %v, %v", found, err)
		}
	}
	f("", http.StatusTooManyRequests)
	f("", http.StatusFound)
	f("<html>", http.StatusOK)
	f(strings.Repeat(padding, RangeBytesMax/len(padding)+1), http.StatusOK)
	server.Close()
	f("", http.StatusOK)
}

func TestEverythingIsBounded_QuestionsToARangeSearch(t *testing.T) {
	list, err := NewRange("https://pwned.example/range")
	if err != nil {
		t.Fatal(err)
	}
	for range RangeAtOnceMax {
		list.places <- struct{}{}
	}
	if _, err := list.Listed("zebra"); !errors.Is(err, errPlaces) {
		t.Errorf("Listed = %v", err)
	}
}

func TestARangeSearchIsAskedOverHTTPS(t *testing.T) {
	f := func(address string, want bool) {
		t.Helper()
		if _, err := NewRange(address); (err == nil) != want {
			t.Errorf("NewRange(%q) = %v", address, err)
		}
	}
	f("https://api.pwnedpasswords.com/range", true)
	f("http://127.0.0.1:8000/range/", true)
	f("http://api.pwnedpasswords.com/range", false)
	f("https://user:secret@pwned.example/range", false)
	f("https://pwned.example/range?x=1", false)
	f("/range", false)
	f("", false)
}

func FuzzBuild(f *testing.F) {
	f.Add(hashes("zebra", "horse"), false)
	f.Add("zebra\nhorse\r\n", true)
	f.Add(":", false)
	f.Fuzz(func(t *testing.T, list string, plain bool) {
		path := filepath.Join(t.TempDir(), "list")
		n, err := Build(path, strings.NewReader(list), plain)
		if err != nil {
			return
		}
		file, err := Open(path)
		if err != nil || file.Count() != n {
			t.Fatalf("Open = %v", err)
		}
		defer file.Close()
		for line := range strings.Lines(list) {
			if line = strings.TrimSuffix(strings.TrimSuffix(line, "\n"), "\r"); plain && line != "" {
				expect(t, file, line, true)
			}
		}
	})
}

func FuzzRange(f *testing.F) {
	suffix := strings.Repeat("A", 35)
	f.Add(suffix + ":3\r\n" + strings.Repeat("B", 35) + ":0")
	f.Add("")
	f.Add("<html>")
	f.Fuzz(func(t *testing.T, answer string) {
		found, err := listed(strings.NewReader(answer), suffix)
		if found && (err != nil || !strings.Contains(strings.ToUpper(answer), suffix+":")) {
			t.Errorf("found in %q, %v", answer, err)
		}
	})
}

func BenchmarkFile(b *testing.B) {
	path := filepath.Join(b.TempDir(), "list")
	var text strings.Builder
	for i := range 1_000_000 {
		fmt.Fprintln(&text, i)
	}
	if _, err := Build(path, strings.NewReader(text.String()), true); err != nil {
		b.Fatal(err)
	}
	file, err := Open(path)
	if err != nil {
		b.Fatal(err)
	}
	defer file.Close()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := file.Listed("correct horse battery"); err != nil {
			b.Fatal(err)
		}
	}
}
