package lab

import (
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"netbank/frontend/message"
)

// What the bank sends by its own client, the demo's gateway takes, once.
func TestGateway_TakesWhatTheBankSendsOnce(t *testing.T) {
	g := &gateway{token: "a token"}
	server := httptest.NewServer(g)
	defer server.Close()
	send := func(token string) *message.Gateway {
		t.Helper()
		sender, err := message.New(message.Config{URL: server.URL + messagesPath, Token: token, Logger: slog.New(slog.NewTextHandler(io.Discard, nil))})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(sender.Close)
		if err := sender.Send(message.Message{ID: "a1", To: "+8613800000001", Text: "123456"}); err != nil {
			t.Fatal(err)
		}
		return sender
	}
	send("a token")
	for limit := time.Now().Add(20 * time.Second); len(g.of("+8613800000001")) == 0; <-time.After(time.Millisecond) {
		if time.Now().After(limit) {
			t.Fatal("the message has not come")
		}
	}
	send("a token").Close()
	if got := g.of("+8613800000001"); len(got) != 1 || got[0].Text != "123456" {
		t.Fatalf("%+v", got)
	}
	if got := g.of("+8613800000002"); len(got) != 0 {
		t.Fatalf("%+v", got)
	}
	f := func(method, body, token string, want int) {
		t.Helper()
		r := httptest.NewRequest(method, messagesPath, nil)
		if body != "" {
			r = httptest.NewRequest(method, messagesPath, strings.NewReader(body))
		}
		r.Header.Set("Authorization", "Bearer "+token)
		w := httptest.NewRecorder()
		g.ServeHTTP(w, r)
		if w.Code != want {
			t.Fatalf("%s %q answers %d", method, body, w.Code)
		}
	}
	f(http.MethodPost, `{"id":"a1","to":"+8613800000001","text":"x"}`, "a token", http.StatusConflict)
	f(http.MethodPost, `{"id":"a2","to":"+8613800000001","text":"x"}`, "a token", http.StatusAccepted)
	f(http.MethodPost, `{"id":"a3","to":"+8613800000001","text":"x"}`, "another", http.StatusUnauthorized)
	f(http.MethodPost, `{"id":"a3"}`, "a token", http.StatusBadRequest)
	f(http.MethodDelete, "", "a token", http.StatusBadRequest)
}
