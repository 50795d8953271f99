package report

import (
	"fmt"
	"strings"
)

// Markdown writes the report as text: what the page says, without glossary and timelines.
func (r *Result) Markdown() string {
	var b strings.Builder
	v := r.view()
	fmt.Fprintf(&b, "# %s, %s\n\n", v.Title, r.Started.UTC().Format("2006-01-02 15:04:05 UTC"))
	if v.Verdict.Good {
		fmt.Fprintf(&b, "%s\n\n", v.Verdict.Says)
	} else {
		fmt.Fprintf(&b, "**%s.** %s\n\n", v.Verdict.Word, v.Verdict.Says)
	}
	list(&b, v.Verdict.Reasons)
	for _, c := range v.Verdict.Cautions {
		fmt.Fprintf(&b, "**Caution.** %s\n\n", c)
	}
	for i := range v.Sections {
		if s := &v.Sections[i]; !s.Web {
			s.markdown(&b)
		}
	}
	fmt.Fprintf(&b, "To be read by strangers, with an explanation of its words: [%s](%s). All of it, with percentile curves: [%s](%s). For benchstat: [%s](%s).\n",
		HTMLName, HTMLName, JSONName, JSONName, BenchstatName, BenchstatName)
	return b.String()
}

func (s *section) markdown(b *strings.Builder) {
	fmt.Fprintf(b, "## %s\n\n", s.Title)
	for _, p := range s.Paragraphs {
		b.WriteString(p + "\n\n")
	}
	for _, h := range s.Headlines {
		fmt.Fprintf(b, "- **%s %s** %s%s. %s\n", h.Value, h.Unit, h.Name, yes(h.Beside != "", " (beside "+h.Beside+")", ""), h.Text)
	}
	if len(s.Headlines) > 0 {
		b.WriteByte('\n')
	}
	for _, p := range s.Pictures {
		fmt.Fprintf(b, "![%s](%s)\n\n", p.Title, p.Name)
	}
	for i := range s.Tables {
		s.Tables[i].markdown(b)
	}
	list(b, s.List)
	if s.Code != "" {
		fmt.Fprintf(b, "```\n%s\n```\n\n", s.Code)
	}
	for _, p := range s.After {
		b.WriteString(p + "\n\n")
	}
}

func list(b *strings.Builder, lines []string) {
	for _, l := range lines {
		fmt.Fprintf(b, "- %s\n", l)
	}
	if len(lines) > 0 {
		b.WriteByte('\n')
	}
}
