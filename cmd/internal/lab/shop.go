package lab

import (
	"bytes"
	"context"
	"crypto/ed25519"
	_ "embed"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"html/template"
	"io"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"

	"netbank/frontend/money"
)

//go:embed shop.html
var shopText string

//go:embed shop.css
var shopStyle []byte

var shopTemplate = template.Must(template.New("shop").Parse(shopText))

// Bounds of the demo shop.
const (
	ordersMax      = 10_000 // the oldest is forgotten first
	webhookAgeMax  = 5 * time.Minute
	shopBodyMax    = 64 << 10
	shopAPITimeout = 15 * time.Second
)

// Shop is a demo shop: a real partner of the bank, on another site. It creates payments with its certificate, sends customers to the
// bank, and believes only what the bank itself tells it, by webhook or when asked.
type Shop struct {
	api      string // the partner door
	redirect string // registered; orders come back below it
	notify   string // registered
	client   *http.Client
	logger   *slog.Logger
	now      func() time.Time

	lock   sync.Mutex
	orders map[string]*order // by payment id
	recent []string
	keys   []ed25519.PublicKey
}

type order struct {
	Number  string
	Payment string
	Item    string
	Amount  string
	Status  string // as the bank told it last
	Version uint64
	ByHook  bool // the last word came by webhook
}

type item struct {
	ID, Name, Chinese string
	Minor             int64
}

var shopItems = []item{
	{"lamp", "Reading lamp", "阅读台灯", 12800},
	{"tea", "Spring tea, 250 g", "春茶 250 克", 6650},
	{"coat", "Winter coat", "冬季大衣", 89900},
}

// NewShop makes a shop that is reached at url.
func NewShop(url, api, ca, cert, key string, logger *slog.Logger) (*Shop, error) {
	config, err := clientTLS(ca, cert, key)
	if err != nil {
		return nil, err
	}
	return &Shop{
		api: api, redirect: url + "/return", notify: url + "/webhook", logger: logger, now: time.Now, orders: make(map[string]*order),
		client: &http.Client{Timeout: shopAPITimeout, Transport: &http.Transport{TLSClientConfig: config, MaxIdleConnsPerHost: 32}},
	}, nil
}

// Handler routes the shop.
func (s *Shop) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", s.front)
	mux.HandleFunc("POST /buy", s.buy)
	mux.HandleFunc("GET /return", s.back)
	mux.HandleFunc("POST /webhook", s.webhook)
	mux.HandleFunc("GET /style.css", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/css; charset=utf-8")
		_, _ = w.Write(shopStyle)
	})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		// No form-action: browsers hold it against the redirect to the bank that follows the form.
		w.Header().Set("Content-Security-Policy", "default-src 'none'; style-src 'self'; frame-ancestors 'none'; base-uri 'none'")
		w.Header().Set("Referrer-Policy", "no-referrer")
		w.Header().Set("Cache-Control", "no-store")
		r.Body = http.MaxBytesReader(w, r.Body, shopBodyMax)
		mux.ServeHTTP(w, r)
	})
}

type shopView struct {
	Chinese bool
	Lang    string
	Items   []shopItem
	Order   *order
	Error   string
	Refresh bool
}

type shopItem struct{ ID, Name, Price string }

func (s *Shop) show(w http.ResponseWriter, r *http.Request, status int, v shopView) {
	lang := r.URL.Query().Get("lang")
	if lang == "" {
		lang = r.Header.Get("Accept-Language")
	}
	v.Lang = "en"
	if v.Chinese = strings.HasPrefix(lang, "zh"); v.Chinese {
		v.Lang = "zh-CN"
	}
	for _, i := range shopItems {
		name := i.Name
		if v.Chinese {
			name = i.Chinese
		}
		v.Items = append(v.Items, shopItem{i.ID, name, money.Show(i.Minor, "CNY")})
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	_ = shopTemplate.Execute(w, v)
}

func (s *Shop) front(w http.ResponseWriter, r *http.Request) {
	s.show(w, r, http.StatusOK, shopView{})
}

// buy creates the payment at the bank and sends the customer there.
func (s *Shop) buy(w http.ResponseWriter, r *http.Request) {
	var chosen *item
	for i := range shopItems {
		if shopItems[i].ID == r.FormValue("item") {
			chosen = &shopItems[i]
		}
	}
	if chosen == nil {
		s.show(w, r, http.StatusBadRequest, shopView{Error: "Choose one of the items. 请选择一件商品。"})
		return
	}
	number := strconv.FormatInt(s.now().UnixNano(), 36)
	name := chosen.Name
	if r.FormValue("lang") == "zh-CN" {
		name = chosen.Chinese
	}
	o := &order{Number: number, Item: name, Amount: money.Show(chosen.Minor, "CNY"), Status: "RCVD"}
	link, err := s.create(r.Context(), o, chosen.Minor, r.FormValue("lang"))
	if err != nil {
		s.logger.Warn("shop: the bank took no payment", "order", number, "error", err)
		s.show(w, r, http.StatusServiceUnavailable, shopView{Error: "The bank could not take the payment just now. Nothing was charged; try again. 银行暂时无法受理，未扣款，请重试。"})
		return
	}
	s.remember(o)
	http.Redirect(w, r, link, http.StatusSeeOther)
}

func (s *Shop) remember(o *order) {
	s.lock.Lock()
	defer s.lock.Unlock()
	s.orders[o.Payment] = o
	s.recent = append(s.recent, o.Payment)
	if len(s.recent) > ordersMax {
		delete(s.orders, s.recent[0])
		s.recent = s.recent[1:]
	}
}

// call asks the partner API and decodes its answer.
func (s *Shop) call(ctx context.Context, method, path string, header map[string]string, body, into any) error {
	var in io.Reader
	if body != nil {
		text, err := json.Marshal(body)
		if err != nil {
			return fmt.Errorf("shop: %w", err)
		}
		in = bytes.NewReader(text)
	}
	req, err := http.NewRequestWithContext(ctx, method, s.api+path, in)
	if err != nil {
		return fmt.Errorf("shop: %w", err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("X-Request-ID", uuid.NewString())
	for k, v := range header {
		req.Header.Set(k, v)
	}
	resp, err := s.client.Do(req)
	if err != nil {
		return fmt.Errorf("shop: %w", err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, shopBodyMax))
	if err != nil {
		return fmt.Errorf("shop: %w", err)
	}
	if resp.StatusCode/100 != 2 {
		return fmt.Errorf("shop: the bank answered %d: %.200s", resp.StatusCode, text)
	}
	if err := json.Unmarshal(text, into); err != nil {
		return fmt.Errorf("shop: the bank's answer: %w", err)
	}
	return nil
}

func (s *Shop) create(ctx context.Context, o *order, minor int64, lang string) (string, error) {
	var answer struct {
		PaymentID string `json:"paymentId"`
		Links     struct {
			SCARedirect struct {
				Href string `json:"href"`
			} `json:"scaRedirect"`
		} `json:"_links"`
	}
	back := s.redirect + "?order=" + o.Number
	if lang != "" {
		back += "&lang=" + lang
	}
	err := s.call(ctx, http.MethodPost, "/v1/payments/domestic-transfers", map[string]string{
		"Idempotency-Key": "order-" + o.Number, "TPP-Redirect-URI": back, "TPP-Nok-Redirect-URI": back, "TPP-Notification-URI": s.notify,
	}, map[string]any{
		"endToEndIdentification":            "order-" + o.Number,
		"instructedAmount":                  map[string]string{"currency": "CNY", "amount": money.Format(minor, "CNY")},
		"creditorAccount":                   map[string]any{"other": map[string]string{"identification": "6228480000000000017"}},
		"creditorName":                      "Demo Shop 示例商店",
		"remittanceInformationUnstructured": o.Item,
	}, &answer)
	if err != nil {
		return "", err
	}
	o.Payment = answer.PaymentID
	link := answer.Links.SCARedirect.Href
	if lang != "" {
		link += "&lang=" + lang
	}
	return link, nil
}

// back is where the bank sends the customer. What stands in the address proves nothing: the shop looks at what the bank has told it,
// and asks when it has been told nothing yet.
func (s *Shop) back(w http.ResponseWriter, r *http.Request) {
	id := r.URL.Query().Get("paymentId")
	s.lock.Lock()
	known, ok := s.orders[id]
	var o order
	if ok {
		o = *known
	}
	s.lock.Unlock()
	if !ok {
		if _, err := uuid.Parse(id); err != nil {
			s.show(w, r, http.StatusNotFound, shopView{Error: "No such order. 没有这个订单。"})
			return
		}
		o = order{Payment: id, Status: "RCVD"} // from before a restart of the shop
	}
	if o.Status == "RCVD" || o.Status == "ACSP" || o.Status == "PDNG" {
		var answer struct {
			Status string `json:"transactionStatus"`
		}
		if err := s.call(r.Context(), http.MethodGet, "/v1/payments/domestic-transfers/"+id+"/status", nil, nil, &answer); err != nil {
			s.logger.Warn("shop: the bank did not say how a payment stands", "error", err)
		} else {
			o.Status = answer.Status
		}
	}
	s.show(w, r, http.StatusOK, shopView{Order: &o, Refresh: o.Status == "ACSP" || o.Status == "PDNG"})
}

var errWebhook = errors.New("shop: the notification is not signed by the bank, or is too old")

func (s *Shop) webhook(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err == nil {
		err = s.verify(r, body)
	}
	if err != nil {
		s.logger.Warn("shop: a notification was refused", "error", err)
		http.Error(w, errWebhook.Error(), http.StatusUnauthorized)
		return
	}
	var note struct {
		Data struct {
			PaymentID string `json:"paymentId"`
			Status    string `json:"transactionStatus"`
			Version   uint64 `json:"version"`
		} `json:"data"`
	}
	if err := json.Unmarshal(body, &note); err != nil {
		http.Error(w, "not the JSON of a notification", http.StatusBadRequest)
		return
	}
	s.lock.Lock()
	defer s.lock.Unlock()
	if o, ok := s.orders[note.Data.PaymentID]; ok && note.Data.Version > o.Version {
		o.Status, o.Version, o.ByHook = note.Data.Status, note.Data.Version, true
	}
	w.WriteHeader(http.StatusNoContent)
}

// verify checks a Standard Webhooks signature of version 1a (Ed25519) against the bank's public keys.
func (s *Shop) verify(r *http.Request, body []byte) error {
	id, stamp := r.Header.Get("webhook-id"), r.Header.Get("webhook-timestamp")
	seconds, err := strconv.ParseInt(stamp, 10, 64)
	if age := s.now().Sub(time.Unix(seconds, 0)); err != nil || age > webhookAgeMax || age < -webhookAgeMax {
		return errWebhook
	}
	keys, err := s.publicKeys(r.Context())
	if err != nil {
		return err
	}
	message := append([]byte(id+"."+stamp+"."), body...)
	for _, signature := range strings.Fields(r.Header.Get("webhook-signature")) {
		encoded, ok := strings.CutPrefix(signature, "v1a,")
		raw, err := base64.StdEncoding.DecodeString(encoded)
		if !ok || err != nil {
			continue
		}
		for _, key := range keys {
			if ed25519.Verify(key, message, raw) {
				return nil
			}
		}
	}
	s.lock.Lock()
	s.keys = nil // a new key may be in use: ask again next time
	s.lock.Unlock()
	return errWebhook
}

func (s *Shop) publicKeys(ctx context.Context) ([]ed25519.PublicKey, error) {
	s.lock.Lock()
	keys := s.keys
	s.lock.Unlock()
	if keys != nil {
		return keys, nil
	}
	var answer struct {
		Keys []struct {
			Key string `json:"key"`
		} `json:"keys"`
	}
	if err := s.call(ctx, http.MethodGet, "/v1/notification-keys", nil, nil, &answer); err != nil {
		return nil, err
	}
	for _, k := range answer.Keys {
		raw, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(k.Key, "whpk_"))
		if err != nil || len(raw) != ed25519.PublicKeySize {
			return nil, fmt.Errorf("shop: %.60q is not a public key of the form whpk_…", k.Key)
		}
		keys = append(keys, raw)
	}
	s.lock.Lock()
	s.keys = keys
	s.lock.Unlock()
	return keys, nil
}
