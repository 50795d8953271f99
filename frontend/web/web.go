package web

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"html/template"
	"io"
	"path"
	"regexp"
	"strings"

	"github.com/nicksnyder/go-i18n/v2/i18n"
	"golang.org/x/text/language"
)

//go:embed templates static locales
var files embed.FS

// Locale is a language tag that the pages exist in.
type Locale string

// The locales; each has a file of sentences, and a test holds the files to the same keys.
const (
	English Locale = "en"
	Chinese Locale = "zh-CN"
)

// locales lists them with their names in their own language.
var locales = []LanguageLink{{Tag: Chinese, Name: "中文"}, {Tag: English, Name: "English"}}

var pages = []string{"sign-in", "confirm", "code", "session", "security", "payments", "message", "passkey", "factors"}

// Site renders pages. It is safe for concurrent use.
type Site struct {
	pages   map[Locale]map[string]*template.Template
	texts   map[Locale]*sentences
	assets  map[string]Asset // by address
	address map[string]string
	matcher language.Matcher
}

// Asset is a static file. Its address holds a hash of its content, so browsers may keep it for ever.
type Asset struct {
	Body        []byte
	Packed      []byte // the same, by gzip
	ContentType string
}

type sentences struct {
	fixed     map[string]string // sentences without arguments
	localizer *i18n.Localizer
}

// New parses everything; an error means that the binary was built from broken files.
func New() (*Site, error) {
	s := &Site{
		pages:   make(map[Locale]map[string]*template.Template),
		texts:   make(map[Locale]*sentences),
		assets:  make(map[string]Asset),
		address: make(map[string]string),
		matcher: language.NewMatcher([]language.Tag{language.English, language.SimplifiedChinese}),
	}
	if err := s.loadAssets(); err != nil {
		return nil, err
	}
	bundle := i18n.NewBundle(language.English)
	bundle.RegisterUnmarshalFunc("json", json.Unmarshal)
	for _, l := range locales {
		if err := s.loadLocale(bundle, l.Tag); err != nil {
			return nil, err
		}
	}
	return s, nil
}

func (s *Site) loadAssets() error {
	types := map[string]string{".css": "text/css; charset=utf-8", ".svg": "image/svg+xml", ".js": "text/javascript; charset=utf-8"}
	entries, err := files.ReadDir("static")
	if err != nil {
		return fmt.Errorf("web: %w", err)
	}
	for _, e := range entries {
		body, err := files.ReadFile("static/" + e.Name())
		if err != nil {
			return fmt.Errorf("web: %w", err)
		}
		sum := sha256.Sum256(body)
		ext := path.Ext(e.Name())
		address := "/static/" + strings.TrimSuffix(e.Name(), ext) + "." + hex.EncodeToString(sum[:6]) + ext
		packed, err := pack(body)
		if err != nil {
			return fmt.Errorf("web: %s: %w", e.Name(), err)
		}
		s.assets[address] = Asset{Body: body, Packed: packed, ContentType: types[ext]}
		s.address[e.Name()] = address
	}
	return nil
}

func pack(body []byte) ([]byte, error) {
	var packed bytes.Buffer
	w, err := gzip.NewWriterLevel(&packed, gzip.BestCompression)
	if err != nil {
		return nil, err
	}
	if _, err := w.Write(body); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return packed.Bytes(), nil
}

func (s *Site) loadLocale(bundle *i18n.Bundle, locale Locale) error {
	name := "locales/" + string(locale) + ".json"
	text, err := files.ReadFile(name)
	if err != nil {
		return fmt.Errorf("web: %w", err)
	}
	if _, err := bundle.ParseMessageFileBytes(text, string(locale)+".json"); err != nil {
		return fmt.Errorf("web: %s: %w", name, err)
	}
	var all map[string]string
	if err := json.Unmarshal(text, &all); err != nil {
		return fmt.Errorf("web: %s: %w", name, err)
	}
	words := &sentences{fixed: make(map[string]string, len(all)), localizer: i18n.NewLocalizer(bundle, string(locale))}
	for key, sentence := range all {
		if !strings.Contains(sentence, "{{") {
			words.fixed[key] = sentence
		}
	}
	s.texts[locale] = words
	s.pages[locale] = make(map[string]*template.Template)
	functions := template.FuncMap{
		"t": func(key string, args ...any) (string, error) { return words.say(key, args...) },
		"asset": func(name string) (string, error) {
			if a, ok := s.address[name]; ok {
				return a, nil
			}
			return "", fmt.Errorf("web: no asset %q", name)
		},
	}
	for _, page := range pages {
		t := template.New(page + ".html").Funcs(functions)
		for _, name := range []string{"layout", "sign-in", page} {
			text, err := files.ReadFile("templates/" + name + ".html")
			if err != nil {
				return fmt.Errorf("web: %w", err)
			}
			part := t
			if name != page {
				part = t.New(name + ".html")
			}
			if _, err := part.Parse(s.settle(words, string(text))); err != nil {
				return fmt.Errorf("web: %s: %w", page, err)
			}
		}
		s.pages[locale][page] = t
	}
	return nil
}

// constant finds the calls in a template whose outcome no request changes.
var constant = regexp.MustCompile(`{{(t|asset) "([^"]+)"}}`)

// settle writes the sentences without arguments and the addresses of assets into a template's text, escaped as text and as attributes in quotes
// both ask for: a page is then made of a third of the calls. What is not known stays, and Parse or a request says so.
func (s *Site) settle(words *sentences, text string) string {
	return constant.ReplaceAllStringFunc(text, func(call string) string {
		m := constant.FindStringSubmatch(call)
		known, ok := words.fixed[m[2]]
		if m[1] == "asset" {
			known, ok = s.address[m[2]]
		}
		if !ok {
			return call
		}
		return template.HTMLEscapeString(known)
	})
}

// say gives a sentence; args are names and values in turn.
func (w *sentences) say(key string, args ...any) (string, error) {
	if text, ok := w.fixed[key]; ok {
		return text, nil
	}
	values := make(map[string]any, len(args)/2)
	for i := 0; i+1 < len(args); i += 2 {
		values[fmt.Sprint(args[i])] = args[i+1]
	}
	text, err := w.localizer.Localize(&i18n.LocalizeConfig{MessageID: key, TemplateData: values})
	if err != nil {
		return "", fmt.Errorf("web: sentence %q: %w", key, err)
	}
	return text, nil
}

// Text gives a sentence in a language; args are names and values in turn. A key that does not exist is given back
// itself: a test finds it, a customer is not turned away for it.
func (s *Site) Text(locale Locale, key string, args ...any) string {
	text, err := s.texts[locale].say(key, args...)
	if err != nil {
		return key
	}
	return text
}

// Render writes a page. view is the struct of that name.
func (s *Site) Render(w io.Writer, locale Locale, page string, view any) error {
	t, ok := s.pages[locale][page]
	if !ok {
		return fmt.Errorf("web: no page %q in %q", page, locale)
	}
	if err := t.Execute(w, view); err != nil {
		return fmt.Errorf("web: %w", err)
	}
	return nil
}

// Asset gives the static file at an address, or false.
func (s *Site) Asset(address []byte) (Asset, bool) {
	a, ok := s.assets[string(address)]
	return a, ok
}

// Known reports whether the pages exist in the language of that tag.
func (s *Site) Known(tag []byte) bool {
	for _, l := range locales {
		if string(tag) == string(l.Tag) {
			return true
		}
	}
	return false
}

// Match chooses the language: the one asked for by name if it exists, else the best for the Accept-Language header.
// Header values of more than 256 bytes are not read.
func (s *Site) Match(chosen, acceptLanguage []byte) Locale {
	for _, l := range locales {
		if string(chosen) == string(l.Tag) {
			return l.Tag
		}
	}
	if len(acceptLanguage) == 0 || len(acceptLanguage) > 256 {
		return English
	}
	if bytes.HasPrefix(acceptLanguage, []byte("zh")) {
		return Chinese
	}
	tags, _, err := language.ParseAcceptLanguage(string(acceptLanguage))
	if err != nil || len(tags) == 0 {
		return English
	}
	if _, index, confidence := s.matcher.Match(tags...); index == 1 && confidence > language.No {
		return Chinese
	}
	return English
}

// Languages gives links to the same address in each language. The address must hold no parameter lang yet.
func Languages(current Locale, address string) []LanguageLink {
	links := make([]LanguageLink, len(locales))
	separator := "?"
	if strings.Contains(address, "?") {
		separator = "&"
	}
	for i, l := range locales {
		l.Current = l.Tag == current
		l.Href = address + separator + "lang=" + string(l.Tag)
		links[i] = l
	}
	return links
}
