package main

import (
	"fmt"

	"netbank/cluster/kek"
	"netbank/cmd/internal/bank"
	"netbank/cmd/internal/cli"
)

type serve struct {
	bank.Config
	Verbose bool `help:"Log more."`
}

func (s *serve) Run() error {
	return cli.RunBank(s.Config, cli.Logger(s.Verbose), "serve", fmt.Sprintf("--verbose=%v", s.Verbose))
}

type keygen struct {
	KEKFile string `name:"kek-file" help:"The file to make; it must not exist." required:"" type:"path"`
}

func (k *keygen) Run(t *terminal) error {
	if err := kek.Generate(k.KEKFile); err != nil {
		return &bank.Error{Code: bank.ExitUsage, Err: err}
	}
	key, err := kek.Load(k.KEKFile)
	if err != nil {
		return &bank.Error{Code: bank.ExitUsage, Err: err}
	}
	fmt.Fprintf(t.out, "made %s, key %s; keep a copy where the backups are not: without it the journal's secrets cannot be opened\n", k.KEKFile, key.ID())
	return nil
}
