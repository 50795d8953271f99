package flow

import (
	"bytes"
	"html"
	"strconv"
	"strings"
	"time"
)

// Page is what a browser shows: an answer with its forms and links.
type Page struct {
	URL    string // absolute; where redirects ended
	Status int
	Body   []byte // owned by the page
	Forms  []Form
	Links  []string // as they stand in the page
	Again  string   // where the page goes by itself, as its Refresh header has it; empty: nowhere
	In     time.Duration
}

// lookMax bounds the time after which a page may look again by itself.
const lookMax = 10 * time.Minute

// refresh reads a Refresh header, as browsers do.
func (p *Page) refresh(header string) {
	seconds, address, ok := strings.Cut(header, "; url=")
	n, err := strconv.ParseUint(seconds, 10, 16)
	if !ok || err != nil || address == "" {
		return
	}
	p.Again, p.In = address, min(time.Duration(n)*time.Second, lookMax)
}

// inLine reports whether the page shows a place in the waiting line.
func (p *Page) inLine() bool {
	return p.Status == 200 && p.Again != "" && strings.HasSuffix(pathOf(p.URL), "/wait")
}

// Form is one form of a page.
type Form struct {
	Action string
	Method string // upper case
	Fields []Field
}

// Field is one input or button of a form.
type Field struct {
	Name, Value, Type, Autocomplete string
	Checked                         bool
}

// field finds the first field with an autocomplete token, as a password manager does.
func (f *Form) field(token string) *Field {
	for i := range f.Fields {
		if f.Fields[i].Autocomplete == token {
			return &f.Fields[i]
		}
	}
	return nil
}

func (f *Form) typed(kind string) *Field {
	for i := range f.Fields {
		if f.Fields[i].Type == kind {
			return &f.Fields[i]
		}
	}
	return nil
}

// Asks finds the form that asks for a value by its autocomplete token, such as current-password; nil if the page has none.
func (p *Page) Asks(token string) *Form {
	for i := range p.Forms {
		if p.Forms[i].field(token) != nil {
			return &p.Forms[i]
		}
	}
	return nil
}

// Offers finds the form with a choice, such as the account to pay from; nil if the page has none.
func (p *Page) Offers() *Form {
	for i := range p.Forms {
		if p.Forms[i].typed("radio") != nil {
			return &p.Forms[i]
		}
	}
	return nil
}

// ParsePage finds the forms and links of an HTML document. It is a scanner for tags, not a validator: what it does not
// understand it passes over, as browsers do, and it never fails.
func ParsePage(p *Page) {
	p.Forms, p.Links = p.Forms[:0], p.Links[:0]
	form := -1
	rest := p.Body
	for {
		i := bytes.IndexByte(rest, '<')
		if i < 0 {
			return
		}
		rest = rest[i+1:]
		if after, ok := bytes.CutPrefix(rest, []byte("!--")); ok {
			if rest = afterString(after, "-->"); rest == nil {
				return
			}
			continue
		}
		name, attributes, after := tag(rest)
		rest = after
		switch name {
		case "script", "style", "textarea", "title":
			// Text that holds no tags but its own end.
			rest = afterEnd(rest, name)
		case "a":
			if href := attribute(attributes, "href"); href != "" {
				p.Links = append(p.Links, href)
			}
		case "form":
			f := Form{Action: attribute(attributes, "action"), Method: strings.ToUpper(attribute(attributes, "method"))}
			if f.Method == "" {
				f.Method = "GET"
			}
			p.Forms = append(p.Forms, f)
			form = len(p.Forms) - 1
		case "/form":
			form = -1
		case "input", "button":
			if form >= 0 {
				p.Forms[form].Fields = append(p.Forms[form].Fields, fieldOf(name, attributes))
			}
		}
	}
}

func fieldOf(tag string, attributes []byte) Field {
	f := Field{
		Name: attribute(attributes, "name"), Value: attribute(attributes, "value"), Type: strings.ToLower(attribute(attributes, "type")),
		Autocomplete: strings.ToLower(attribute(attributes, "autocomplete")), Checked: has(attributes, "checked"),
	}
	if f.Type == "" {
		f.Type = "text"
		if tag == "button" {
			f.Type = "submit"
		}
	}
	return f
}

// tag reads a tag behind its "<": its name in lower case (with the slash of an end tag), its attributes, and what follows it.
func tag(rest []byte) (name string, attributes, after []byte) {
	end := 0
	for end < len(rest) && (rest[end] == '/' && end == 0 || isName(rest[end])) {
		end++
	}
	name = strings.ToLower(string(rest[:end]))
	quote := byte(0)
	for i := end; i < len(rest); i++ {
		switch c := rest[i]; {
		case quote != 0:
			if c == quote {
				quote = 0
			}
		case c == '"' || c == '\'':
			quote = c
		case c == '>':
			return name, rest[end:i], rest[i+1:]
		}
	}
	return name, rest[end:], nil
}

func isName(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-'
}

func afterString(text []byte, end string) []byte {
	i := bytes.Index(text, []byte(end))
	if i < 0 {
		return nil
	}
	return text[i+len(end):]
}

func afterEnd(text []byte, name string) []byte {
	for {
		text = afterString(text, "</")
		if text == nil || len(text) >= len(name) && strings.EqualFold(string(text[:len(name)]), name) {
			return text
		}
	}
}

func isSpace(c byte) bool { return c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\f' }

// each gives the attributes of a tag, names in lower case, values as they stand, until f reports false.
func each(attributes []byte, f func(name string, value []byte) bool) {
	for i := 0; i < len(attributes); {
		if isSpace(attributes[i]) || attributes[i] == '/' || attributes[i] == '=' {
			i++
			continue
		}
		start := i
		for i < len(attributes) && !isSpace(attributes[i]) && attributes[i] != '=' && attributes[i] != '/' {
			i++
		}
		name := strings.ToLower(string(attributes[start:i]))
		for i < len(attributes) && isSpace(attributes[i]) {
			i++
		}
		var value []byte
		if i < len(attributes) && attributes[i] == '=' {
			i++
			for i < len(attributes) && isSpace(attributes[i]) {
				i++
			}
			value, i = attributeValue(attributes, i)
		}
		if !f(name, value) {
			return
		}
	}
}

func attributeValue(attributes []byte, i int) (value []byte, next int) {
	if i < len(attributes) && (attributes[i] == '"' || attributes[i] == '\'') {
		quote := attributes[i]
		i++
		end := bytes.IndexByte(attributes[i:], quote)
		if end < 0 {
			return attributes[i:], len(attributes)
		}
		return attributes[i : i+end], i + end + 1
	}
	start := i
	for i < len(attributes) && !isSpace(attributes[i]) {
		i++
	}
	return attributes[start:i], i
}

func attribute(attributes []byte, name string) (value string) {
	each(attributes, func(n string, v []byte) bool {
		if n == name {
			value = html.UnescapeString(string(v))
			return false
		}
		return true
	})
	return value
}

func has(attributes []byte, name string) (found bool) {
	each(attributes, func(n string, _ []byte) bool {
		found = n == name
		return !found
	})
	return found
}
