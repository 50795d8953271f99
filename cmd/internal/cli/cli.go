// Package cli is what netbank and netbank-lab share on the command line: how errors become one line and an exit code.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"os/signal"
	"runtime/debug"
	"syscall"

	"netbank/cmd/internal/bank"
)

// Exit codes beside those of package bank.
const (
	ExitOK      = 0
	ExitFailure = 1
)

// coder is an error with an exit code.
type coder interface{ ExitCode() int }

// Code gives the exit code of an error.
func Code(err error) int {
	var c coder
	switch {
	case err == nil:
		return ExitOK
	case errors.As(err, &c):
		return c.ExitCode()
	}
	return ExitFailure
}

// Exit prints an error as one line and gives its exit code.
func Exit(program string, err error, w io.Writer) int {
	if err != nil {
		fmt.Fprintf(w, "%s: %v\n", program, err)
	}
	return Code(err)
}

// Logger logs JSON lines to standard error.
func Logger(verbose bool) *slog.Logger {
	level := slog.LevelInfo
	if verbose {
		level = slog.LevelDebug
	}
	return slog.New(slog.NewJSONHandler(os.Stderr, &slog.HandlerOptions{Level: level}))
}

// derive is the hidden command of both programs that runs bank.Derive.
const derive = "derive"

// RunBank runs a bank until it is interrupted or asked to end. Passwords are hashed by another process of the same program, and so are workers
// run, with the command again.
func RunBank(c bank.Config, logger *slog.Logger, again ...string) error {
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("cli: %w", err)
	}
	c.Deriving = func() *exec.Cmd {
		cmd := exec.Command(self, derive)
		cmd.Stderr = os.Stderr
		return cmd
	}
	c.Version, c.Again = Version(), again
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer cancel()
	err = bank.Run(ctx, c, logger, func() {
		logger.Info("the bank is open", "customers", c.CustomerURL, "partners", c.PartnerAddr, "operator", c.OperatorAddr, "core", c.CoreAddr, "data", c.DataDir)
	})
	if ctx.Err() != nil && errors.Is(err, context.Canceled) {
		err = nil
	}
	if err == nil {
		logger.Info("the bank is closed")
	}
	return err
}

// Version tells which commit and Go the program was built from.
func Version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "netbank (unknown build)"
	}
	commit := "unknown commit"
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			commit = s.Value[:min(12, len(s.Value))]
		}
	}
	return fmt.Sprintf("netbank %s, %s", commit, info.GoVersion)
}
