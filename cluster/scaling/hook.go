package scaling

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
)

// Hook hands the list of workers to an operator's program, for balancers that this package does not know.
//
// The program is run without a shell, with its words as they are. On its standard input it has one JSON array with an object for each worker:
// {"node": 7, "customer": "10.0.0.7:8080", "partner": "10.0.0.7:8443", "operator": "10.0.0.7:9090", "draining": false}. It has every worker every time, ends
// with 0, and is run again when it did not.
type Hook struct {
	Words []string
}

var _ Traffic = (*Hook)(nil)

// ParseHook takes a command apart at its blanks. There are no quotes: a path with a blank is for a script.
func ParseHook(line string) (*Hook, error) {
	words := strings.Fields(line)
	switch {
	case len(words) == 0:
		return nil, errors.New("scaling: the hook is empty; write the program and its words, such as /usr/local/bin/steer")
	case len(words) > ExecWordsMax:
		return nil, fmt.Errorf("scaling: the hook has %d words, of %d; call a script", len(words), ExecWordsMax)
	}
	return &Hook{Words: words}, nil
}

// Steer implements Traffic.
func (h *Hook) Steer(ctx context.Context, routes []Route) error {
	if routes == nil {
		routes = []Route{} // an array in any case
	}
	text, err := json.Marshal(routes)
	if err != nil {
		return fmt.Errorf("scaling: %w", err)
	}
	_, err = execute(ctx, "the hook", h.Words, bytes.NewReader(append(text, '\n')))
	return err
}
