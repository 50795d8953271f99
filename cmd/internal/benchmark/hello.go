package benchmark

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"net/http"
	"net/http/pprof"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/valyala/fasthttp"
)

// Hello is the command that runs the hello world which a bank is measured beside.
type Hello struct {
	Addr    string `help:"Where it listens." default:"127.0.0.1:8090"`
	TLSAddr string `name:"tls-addr" help:"Where it listens with mutual TLS 1.3; empty: nowhere."`
	Cert    string `help:"Its certificate, a PEM file." type:"path"`
	Key     string `help:"Its private key, a PEM file." type:"path"`
	CA      string `name:"ca" help:"Who signs clients' certificates, a PEM file." type:"path"`
}

// helloServer answers everything with the same 200. It is set as the bank's doors are, where that costs or saves anything.
func helloServer() *fasthttp.Server {
	return &fasthttp.Server{
		Handler: func(ctx *fasthttp.RequestCtx) {
			ctx.SetContentType("text/plain; charset=utf-8")
			ctx.SetBodyString("Hello, World!\n")
		},
		Concurrency: 20_000, ReadBufferSize: 8 << 10, MaxRequestBodySize: 16 << 10,
		ReadTimeout: 5 * time.Second, WriteTimeout: 10 * time.Second, IdleTimeout: 15 * time.Second,
		DisablePreParseMultipartForm: true, NoDefaultServerHeader: true, NoDefaultDate: true, NoDefaultContentType: true,
		CloseOnShutdown: true,
	}
}

// Run serves until the process is asked to end.
func (h *Hello) Run() error {
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer cancel()
	server := helloServer()
	failed := make(chan error, 2)
	plain, err := net.Listen("tcp", h.Addr)
	if err != nil {
		return fmt.Errorf("benchmark: %w", err)
	}
	go func() { failed <- server.Serve(plain) }()
	if h.TLSAddr != "" {
		config, err := h.tls()
		if err != nil {
			return err
		}
		secured, err := tls.Listen("tcp", h.TLSAddr, config)
		if err != nil {
			return fmt.Errorf("benchmark: %w", err)
		}
		go func() { failed <- server.Serve(secured) }()
	}
	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
	}
	limit, stop := context.WithTimeout(context.Background(), time.Second)
	defer stop()
	_ = server.ShutdownWithContext(limit)
	return nil
}

// tls is what the partner door has: version 1.3, and a client certificate that is checked.
func (h *Hello) tls() (*tls.Config, error) {
	pair, err := tls.LoadX509KeyPair(h.Cert, h.Key)
	if err != nil {
		return nil, fmt.Errorf("benchmark: %w", err)
	}
	text, err := os.ReadFile(h.CA)
	if err != nil {
		return nil, fmt.Errorf("benchmark: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("benchmark: %s holds no certificate", h.CA)
	}
	return &tls.Config{
		Certificates: []tls.Certificate{pair}, ClientCAs: pool, ClientAuth: tls.RequireAndVerifyClientCert,
		MinVersion: tls.VersionTLS13, NextProtos: []string{"http/1.1"},
	}, nil
}

// ProfilesPath is where Profiles belongs.
const ProfilesPath = "/debug/pprof/"

// Profiles are the pages by which `go tool pprof` asks a process of the lab where its time and memory go.
func Profiles() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc(ProfilesPath, pprof.Index)
	mux.HandleFunc(ProfilesPath+"profile", pprof.Profile)
	mux.HandleFunc(ProfilesPath+"symbol", pprof.Symbol)
	mux.HandleFunc(ProfilesPath+"trace", pprof.Trace)
	return mux
}
