package bank

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"netbank/cluster/gate"
	"netbank/cluster/peer"
	"netbank/cluster/replica"
	"netbank/cluster/scaling/expansion"
	"netbank/session"
	"netbank/session/derive"
)

// Exit codes of a bank, beside 0 and 1: those of sysexits.h. Code 2 is the Go runtime's own, of a panic.
const (
	ExitUsage     = 64                // EX_USAGE: a flag or a file named by one is wrong
	ExitAddress   = 69                // EX_UNAVAILABLE: an address cannot be listened on
	ExitDirectory = 73                // EX_CANTCREAT: the data directory cannot be used: not writable, or another process has it
	ExitNewer     = 78                // EX_CONFIG: the data directory was written by a newer version
	ExitFatal     = replica.ExitFatal // the disk failed or hung, or an entry of the journal cannot be applied
)

// DrainNoticeMax bounds --drain-notice.
const DrainNoticeMax = time.Minute

// Config is what a bank is run with. The tags are the command line's.
type Config struct {
	DataDir  string `help:"Where the journal is kept. One process at a time. A worker (--role worker) may go without: it has its identity in memory, and joins at each start."`
	KEKFile  string `name:"kek-file" help:"The key-encryption key, as 'netbank keygen' makes it. Keep a copy apart from the backups." required:"" type:"path"`
	BankName string `help:"What pages call the bank." default:"netbank"`

	CustomerAddr string `help:"Where customer pages listen." default:"localhost:8080"`
	CustomerURL  string `name:"customer-url" help:"Where customers reach them: scheme and host, such as https://pay.bank.example." default:"http://localhost:8080"`

	Cluster         string   `help:"The id of the cluster that this node is one of: the same on all of them. It counts with --peer-addr." default:"netbank"`
	PeerAddr        string   `help:"Where the other nodes of the cluster reach this one (TLS 1.3, certificates of the cluster's own). Empty: a node alone, and no port."`
	PeerAdvertise   string   `help:"The same as the others know it: host:port. Left out: --peer-addr."`
	BootstrapExpect int      `help:"Found a new cluster of so many coordinators: 1, 3 or 5, all with the same key-encryption key. Of no effect once there is a journal."`
	Join            []string `help:"The founders' advertised addresses, this one among them, the same list on all of them: A,B,C."`
	JoinTokenFile   string   `help:"Join a cluster with the token that 'netbank cluster token' made; a file readable by its owner only. Of no effect once joined." type:"path"`
	Role            string   `help:"What this node is to be, as a check of the token: coordinator or worker. A worker keeps no journal and needs no --peer-addr, but this flag."`

	BreachedFile  string `help:"Passwords that others know, which customers then cannot choose: a file that 'netbank breached build' has made. The commonest few thousand are known without it." type:"path"`
	BreachedRange string `help:"A service that is asked for more of them, with the interface of Have I Been Pwned's range search, such as https://api.pwnedpasswords.com/range. It learns five digits of a hash. Left out: none is asked."`

	PartnerAddr string `help:"Where the partner API listens (TLS 1.3, client certificates)." default:"127.0.0.1:8443"`
	PartnerCert string `help:"Its certificate, a PEM file." required:"" type:"path"`
	PartnerKey  string `help:"Its private key, a PEM file." required:"" type:"path"`
	PartnerCA   string `name:"partner-ca" help:"Who signs partners' certificates, a PEM file." required:"" type:"path"`

	ProxyFrom   []string      `help:"Balancers that say who their client is, by the PROXY protocol, version 2, in front of each connection to the two doors above: addresses or networks A,B/28. They must then say so. Left out: nobody."`
	DrainNotice time.Duration `help:"How long balancers take to notice that a node of a cluster is not ready any more. When it is stopped its doors stay open as long." default:"1s"`

	OperatorAddr      string `help:"Where the operator's port listens: on loopback with plain HTTP, or anywhere with --operator-cert." default:"127.0.0.1:9090"`
	OperatorAdvertise string `help:"The same as operators reach it: host:port, for the cluster page and for what tells them to ask another node. Left out: --operator-addr, with the host of --peer-advertise where it names none."`
	OperatorTokenFile string `help:"The operator's token; made if missing, readable by its owner only. Not needed with --operator-cert." type:"path"`
	SupportTokenFile  string `help:"A token that lets in who supports customers, for 'netbank why' only; made if missing. Left out: there is none." type:"path"`
	OperatorCert      string `help:"The operator port's certificate, a PEM file: it speaks TLS 1.3 then, and asks for client certificates." type:"path"`
	OperatorKey       string `help:"Its private key, a PEM file." type:"path"`
	OperatorCA        string `name:"operator-ca" help:"Who signs operators' certificates, a PEM file. Whoever has such a certificate may do everything, unless a token is asked for too." type:"path"`

	CoreAddr      string        `help:"The core banking system: host:port of its ISO 8583 wire." default:"127.0.0.1:8583"`
	CorePin       string        `help:"The core's certificate, a PEM file; without it the link is plain TCP, on loopback only." type:"path"`
	CoreConns     int           `help:"Connections to the core." default:"4"`
	CoreSeats     int           `help:"The most calls that may be inside the core at once." default:"64"`
	CoreReserve   int           `name:"core-seats-reserve" help:"The same while an operator has the gate at the level reserve. Left out, or less: --core-seats."`
	CoreEmergency int           `name:"core-seats-emergency" help:"The same at the level emergency. Left out, or less: that of reserve."`
	CoreFixed     bool          `help:"Always let in as many. Without this the gate finds by trying with how many of them the core does most work."`
	Line          bool          `help:"Let new customers wait in a line, with their places kept, when more come than can be served to the end. The same on every node."`
	CoreLimit     time.Duration `help:"How long a payment can be inside the core before its fate is asked for." default:"10s"`
	CoreAcquirer  string        `help:"Field 32, as the core's operator assigned it." default:"1"`
	CoreTerminal  string        `help:"Field 41." default:"NETBANK1"`
	CoreAcceptor  string        `help:"Field 42, the bank's channel." default:"NETBANK"`
	AcceptClock   bool          `help:"Go on although this machine's clock is far from the journal's last stamp. Look at the clock first."`
	SnapshotBytes int64         `help:"Bytes of log between two snapshots." default:"67108864"`

	SecondFactors

	Scaling

	// Again is the verb, with the flags beside these, with which the program runs another node of the same kind.
	Again []string `kong:"-"`
	// Deriving makes the command that runs the program's Derive; nil: passwords are hashed in the bank's own process, and whatever else
	// it does waits for them.
	Deriving func() *exec.Cmd `kong:"-"`
	// Version is the program's, for the operator.
	Version string `kong:"-"`
	// Lab is what only netbank-lab may ask for.
	Lab Lab `kong:"-"`
}

// Lab holds what the product never does.
type Lab struct {
	Params         session.Params // of new password hashes; zero: session.Standard
	AllowCheapHash bool
	// AdmissionOff sends every confirmation to the core at once, up to gate.CeilingMax of them, to show what the gate is for.
	AdmissionOff bool
	// SignInsPerSecond is how many passwords this node checks a second at most; zero: as many as the machine does.
	SignInsPerSecond float64
	// WorkerAway is how long any worker may be away before it is forgotten; zero: WorkerForgottenAfter, or MemoryWorkerForgottenAfter.
	WorkerAway time.Duration
	Wall       func() time.Time        // a clock that may be wrong; nil: time.Now
	Operator   map[string]http.Handler // further pages of the operator's port
}

// Derive is the hidden command of the process that hashes passwords for the bank that started it.
type Derive struct{}

// Run hashes until standard input ends.
func (Derive) Run() error { return derive.Serve(os.Stdin, os.Stdout) }

// Error is an error with the exit code that it asks for.
type Error struct {
	Code int
	Err  error
}

func (e *Error) Error() string { return e.Err.Error() }

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.Err }

// ExitCode gives the exit code.
func (e *Error) ExitCode() int { return e.Code }

// usage is an error about a flag.
func usage(format string, args ...any) error {
	return &Error{Code: ExitUsage, Err: fmt.Errorf(format, args...)}
}

// check refuses what would be unsafe, before anything is opened.
func (c *Config) check() error {
	if err := c.checkOperator(); err != nil {
		return err
	}
	if u, err := url.Parse(c.CustomerURL); err == nil && u.Scheme == "http" && !onLoopback(u.Hostname()) {
		return usage("--customer-url is %s: off loopback customers are reached over https, or their cookies travel in clear; end TLS in front, and name that address", c.CustomerURL)
	}
	if c.DataDir == "" && c.Role != peer.Worker.String() {
		return usage("--data-dir is missing; name a directory of this node's own, where the journal is kept (only a worker may go without: --role worker)")
	}
	if err := c.checkCluster(); err != nil {
		return err
	}
	if auto, err := expansion.Parse(c.ScaleAuto); err != nil {
		return usage("--scale-auto: %w", err)
	} else if auto.On() && c.Scale == "" {
		return usage("--scale-auto is given without --scale; say who runs workers: --scale local, exec or kubernetes")
	}
	if err := c.checkFactors(); err != nil {
		return err
	}
	if c.DrainNotice < 0 || c.DrainNotice > DrainNoticeMax {
		return usage("--drain-notice is %v; it may be 0s to %v", c.DrainNotice, DrainNoticeMax)
	}
	if c.CoreSeats < 1 || c.CoreSeats > 4096 {
		return usage("--core-seats is %d; it may be 1 to 4096", c.CoreSeats)
	}
	for flag, seats := range map[string]int{"--core-seats-reserve": c.CoreReserve, "--core-seats-emergency": c.CoreEmergency} {
		if seats < 0 || seats > gate.CeilingMax {
			return usage("%s is %d; it may be 0 to %d", flag, seats, gate.CeilingMax)
		}
	}
	return nil
}

// checkOperator sees to it that nobody reaches the operator's port unasked.
func (c *Config) checkOperator() error {
	host, _, err := net.SplitHostPort(c.OperatorAddr)
	if err != nil {
		return usage("--operator-addr is %q; write host:port", c.OperatorAddr)
	}
	given := 0
	for _, file := range []string{c.OperatorCert, c.OperatorKey, c.OperatorCA} {
		if file != "" {
			given++
		}
	}
	switch {
	case given != 0 && given != 3:
		return usage("--operator-cert, --operator-key and --operator-ca belong together; give all three, or none for plain HTTP on loopback")
	case given == 0 && !onLoopback(host):
		return usage("--operator-addr is %s: without --operator-cert the operator's port speaks plain HTTP, and listens on loopback only; give --operator-cert, --operator-key and --operator-ca, or reach it through an SSH tunnel", c.OperatorAddr)
	case given == 0 && c.OperatorTokenFile == "":
		return usage("--operator-token-file is missing: without --operator-cert the operator is known by a token; name a file, and one is made")
	}
	return nil
}

func onLoopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// tokenBytes is how many random bytes an operator's token has.
const tokenBytes = 32

// EnsureToken makes a token file that only its owner may read, unless there is one. The file is whole from the moment at which it has its
// name: processes that start together may share it, and one that dies here leaves no half of it.
func EnsureToken(path string) error {
	if _, err := os.Lstat(path); err == nil {
		return nil
	}
	token := make([]byte, tokenBytes)
	rand.Read(token)
	f, err := os.CreateTemp(filepath.Dir(path), ".token-*") // mode 0600
	if err != nil {
		return fmt.Errorf("bank: the operator's token: %w", err)
	}
	defer os.Remove(f.Name())
	_, err = fmt.Fprintln(f, hex.EncodeToString(token))
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("bank: the operator's token: %w", err)
	}
	if err := os.Link(f.Name(), path); err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("bank: the operator's token: %w", err)
	}
	return nil
}

// readSecret reads a file of one line, and refuses one that others can read.
func readSecret(path string) (string, error) {
	info, err := os.Stat(path)
	if err != nil {
		return "", err
	}
	if info.Mode().Perm()&0o077 != 0 {
		return "", fmt.Errorf("%s can be read by others (mode %04o); run `chmod 600 %s`", path, info.Mode().Perm(), path)
	}
	text, err := os.ReadFile(path)
	return strings.TrimSpace(string(text)), err
}

// ReadToken reads a token file, and refuses one that others can read.
func ReadToken(path string) (string, error) {
	token, err := readSecret(path)
	if err != nil {
		return "", fmt.Errorf("bank: the operator's token: %w", err)
	}
	if len(token) < 2*tokenBytes {
		return "", fmt.Errorf("bank: the operator's token in %s has %d characters; delete the file, and a new one is made", path, len(token))
	}
	return token, nil
}
