package replica

import "strings"

func contains(l *lines, text string) bool { return containsText(l.String(), text) }

func containsText(s, text string) bool { return strings.Contains(s, text) }
