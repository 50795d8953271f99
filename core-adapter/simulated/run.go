package simulated

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"syscall"
	"time"

	"netbank/core-adapter/simulated/ledger"
)

// Report is what an audit of a ledger's file found.
type Report = ledger.Report

// Audit reads the ledger of a core that is stopped or running, changes nothing, and reports its sums. It counts from the
// records alone, without the code that decided them.
func Audit(dir string) (Report, error) { return ledger.Audit(dir) }

// Run runs a simulated core host until the context ends, which is no error, or until it cannot go on: a port that is
// taken, a directory that is in use or damaged, a disk that fails.
func Run(ctx context.Context, cfg Config) error {
	if err := cfg.complete(); err != nil {
		return err
	}
	wire, err := listen(cfg.Addr, "the core's wire")
	if err != nil {
		return err
	}
	defer wire.Close()
	var admin net.Listener
	var adminAddr net.Addr
	if cfg.AdminAddr != "" {
		if admin, err = listen(cfg.AdminAddr, "the core's admin port"); err != nil {
			return err
		}
		defer admin.Close()
		adminAddr = admin.Addr()
	}
	s, err := NewServer(cfg)
	if err != nil {
		return err
	}
	cfg.Logger.Info("core: listening", "wire", wire.Addr().String(), "admin", addrText(adminAddr), "tls", cfg.TLS != nil, "model", cfg.Model.Kind, "sync", cfg.Sync)
	if !cfg.Sync {
		cfg.Logger.Warn("core: answers are given before the disk has them (sync is off): a crash of the machine loses acknowledged debits")
	}
	if cfg.Ready != nil {
		cfg.Ready(wire.Addr(), adminAddr)
	}
	secured := wire
	if cfg.TLS != nil {
		secured = tls.NewListener(wire, cfg.TLS)
	}
	return serve(ctx, s, secured, admin)
}

func addrText(a net.Addr) string {
	if a == nil {
		return ""
	}
	return a.String()
}

// serve runs both ports and ends both when one ends, the ledger breaks or the context does.
func serve(ctx context.Context, s *Server, wire, admin net.Listener) error {
	ended := make(chan error, 2)
	running := 1
	go func() { ended <- s.Serve(wire) }()
	var web *http.Server
	if admin != nil {
		web = &http.Server{
			Handler: s.AdminHandler(), ReadHeaderTimeout: 5 * time.Second, ReadTimeout: adminTime, IdleTimeout: time.Minute, MaxHeaderBytes: 16 << 10,
		}
		running++
		go func() { ended <- web.Serve(admin) }()
	}
	var cause error
	select {
	case <-ctx.Done():
	case <-s.ledger.Broken(): // Close says why
	case cause = <-ended:
		running--
	}
	if web != nil {
		web.Close()
	}
	cause = errors.Join(cause, s.Close())
	for ; running > 0; running-- {
		<-ended
	}
	s.cfg.Logger.Info("core: stopped")
	return cause
}

func listen(addr, what string) (net.Listener, error) {
	l, err := net.Listen("tcp", addr)
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil, fmt.Errorf("simulated: %s cannot listen on %s: another process has that port; stop it or choose another address (%w)", what, addr, syscall.EADDRINUSE)
	}
	if err != nil {
		return nil, fmt.Errorf("simulated: %s cannot listen on %s: %w", what, addr, err)
	}
	return l, nil
}
