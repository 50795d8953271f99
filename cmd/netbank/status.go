package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"time"

	"netbank/frontend/ops"
)

type status struct {
	operator
	JSON bool `name:"json" help:"Print JSON."`
}

func (s *status) Run() error {
	text, err := s.call(http.MethodGet, "/api/v1/status", nil)
	if err != nil {
		return err
	}
	if s.JSON {
		_, err = os.Stdout.Write(text)
		return err
	}
	var v ops.Status
	if err := json.Unmarshal(text, &v); err != nil {
		return fmt.Errorf("the node's answer: %w", err)
	}
	fmt.Printf("node %d: %s in term %d, entry %d\n", v.Node, v.Role, v.Term, v.Applied)
	fmt.Printf("inside the core: %d of %d seats; not yet final: %d payments; in doubt: %d; notifications under way: %d\n", v.Seats, v.Limit, v.Open, v.InDoubt, v.Outbox)
	if v.Core.Reachable {
		fmt.Println("core: reachable")
	} else {
		fmt.Printf("core: not reachable since %s: %s\n", v.Core.Since.Format(time.RFC3339), v.Core.LastError)
	}
	for _, c := range v.Classes {
		if c.Refused != "" {
			fmt.Printf("refused now: %s (%s)\n", c.Class, c.Refused)
		}
	}
	if v.Clock.Remedy != "" {
		fmt.Println("clock:", v.Clock.Remedy)
	}
	return nil
}
