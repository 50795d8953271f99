package lab

import (
	"crypto/subtle"
	"encoding/json"
	"net/http"
	"strings"
	"sync"
	"time"

	"netbank/frontend/message"
)

// Bounds of the demo's message gateway.
const (
	gatewayKept      = 256     // messages remembered, of all customers
	gatewayShown     = 5       // of one number
	gatewayBodyBytes = 4 << 10 // of a request
)

// received is a message that a demo customer's telephone has.
type received struct {
	message.Message
	At time.Time `json:"at"`
}

// gateway is the demo's message gateway: it does what docs/message-gateway.md asks of one, and instead of sending a message remembers it for the
// demo phone.
type gateway struct {
	token string
	mu    sync.Mutex
	kept  []received // the oldest first
}

// messagesPath is where the gateway takes messages, and where the demo phone looks for them.
const messagesPath = "/message-gateway/messages"

func (g *gateway) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	given, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if subtle.ConstantTimeCompare([]byte(given), []byte(g.token)) != 1 {
		http.Error(w, "the token is not the gateway's", http.StatusUnauthorized)
		return
	}
	if r.Method == http.MethodGet {
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(g.of(r.URL.Query().Get("to")))
		return
	}
	var m message.Message
	d := json.NewDecoder(http.MaxBytesReader(w, r.Body, gatewayBodyBytes))
	if err := d.Decode(&m); r.Method != http.MethodPost || err != nil || m.ID == "" || m.Text == "" || !strings.HasPrefix(m.To, "+") {
		http.Error(w, `post {"id", "to", "text"}`, http.StatusBadRequest)
		return
	}
	if !g.take(m) {
		http.Error(w, "taken before", http.StatusConflict)
		return
	}
	w.WriteHeader(http.StatusAccepted)
}

// take keeps a message, unless it has it.
func (g *gateway) take(m message.Message) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	for i := range g.kept {
		if g.kept[i].ID == m.ID {
			return false
		}
	}
	if g.kept = append(g.kept, received{m, time.Now()}); len(g.kept) > gatewayKept {
		g.kept = g.kept[1:]
	}
	return true
}

// of gives the latest messages to a number, the newest first.
func (g *gateway) of(to string) []received {
	g.mu.Lock()
	defer g.mu.Unlock()
	found := []received{}
	for i := len(g.kept) - 1; i >= 0 && len(found) < gatewayShown; i-- {
		if g.kept[i].To == to {
			found = append(found, g.kept[i])
		}
	}
	return found
}
