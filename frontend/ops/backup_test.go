package ops

import (
	"bytes"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"netbank/cluster"
)

// canned is a backup that ends after so many bytes.
type canned struct {
	text   string
	ends   int
	closed *atomic.Int32
}

func (c canned) Size() int64 { return int64(len(c.text)) }

func (c canned) Close() error { c.closed.Add(1); return nil }

func (c canned) WriteTo(w io.Writer) (int64, error) {
	n, err := io.WriteString(w, c.text[:c.ends])
	if err == nil && c.ends < len(c.text) {
		err = errors.New("the disk is gone")
	}
	return int64(n), err
}

func backupPort(t *testing.T, backup func() (Backup, error)) *httptest.Server {
	t.Helper()
	h, err := New(Config{
		Bank: &bank{}, Credentials: plainCredentials{}, Gatherer: prometheus.NewRegistry(), Token: token, BankName: "Test bank",
		Logger: slog.New(slog.DiscardHandler), Backup: backup,
	})
	if err != nil {
		t.Fatal(err)
	}
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s
}

func fetch(t *testing.T, s *httptest.Server) (status int, header http.Header, body []byte, err error) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.URL+"/api/v1/backup", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+token)
	resp, err := s.Client().Do(r)
	if err != nil {
		return 0, nil, nil, err
	}
	defer resp.Body.Close()
	body, err = io.ReadAll(resp.Body)
	return resp.StatusCode, resp.Header, body, err
}

func TestABackupIsStreamedWholeOrCutOff(t *testing.T) {
	text, closed := strings.Repeat("backup", 100_000), new(atomic.Int32)
	f := func(ends int) ([]byte, error) {
		t.Helper()
		s := backupPort(t, func() (Backup, error) { return canned{text, ends, closed}, nil })
		status, header, body, err := fetch(t, s)
		s.Close() // waits for the call to end
		if err == nil && (status != http.StatusOK || header.Get("Content-Type") != "application/octet-stream" || !strings.Contains(header.Get("Content-Disposition"), ".backup")) {
			t.Errorf("%d %v", status, header)
		}
		return body, err
	}
	if body, err := f(len(text)); err != nil || !bytes.Equal(body, []byte(text)) {
		t.Errorf("%d bytes, %v", len(body), err)
	}
	for _, ends := range []int{0, 10, len(text) - 1} {
		if body, err := f(ends); err == nil {
			t.Errorf("a backup that ended at %d looks whole: %d bytes", ends, len(body))
		}
	}
	if n := closed.Load(); n != 4 {
		t.Errorf("%d of 4 backups were closed", n)
	}
}

func TestABackupThatCannotBeginSaysWhy(t *testing.T) {
	f := func(err error, status int, code string) {
		t.Helper()
		s := backupPort(t, func() (Backup, error) { return nil, err })
		got, _, body, failed := fetch(t, s)
		if failed != nil || got != status || !strings.Contains(string(body), code) {
			t.Errorf("%v: %d %s (%v), want %d %s", err, got, body, failed, status, code)
		}
	}
	f(cluster.ErrBackupRuns, http.StatusConflict, "backup-runs")
	f(cluster.ErrNoJournal, http.StatusNotFound, "no-journal")
	f(errors.New("/var/lib/secret is full"), http.StatusInternalServerError, "look at its disk")
	got, _, body, err := fetch(t, backupPort(t, nil))
	if err != nil || got != http.StatusNotFound || !strings.Contains(string(body), "coordinator") {
		t.Errorf("%d %s (%v)", got, body, err)
	}
}
