package replica

import (
	"context"
	"fmt"
	"io"
	"log"
	"log/slog"

	"github.com/hashicorp/go-hclog"
)

// raftLogger gives Raft and its log store the process's slog.Logger. Debug and Trace are dropped before their
// arguments are rendered: Raft writes them on its hot path.
type raftLogger struct {
	out  *slog.Logger
	name string
	args []any
}

var _ hclog.Logger = (*raftLogger)(nil)

func newRaftLogger(out *slog.Logger, name string) *raftLogger {
	return &raftLogger{out: out.With("from", name), name: name}
}

// Log implements hclog.Logger.
func (l *raftLogger) Log(level hclog.Level, msg string, args ...any) {
	var to slog.Level
	switch {
	case level >= hclog.Error:
		to = slog.LevelError
	case level == hclog.Warn:
		to = slog.LevelWarn
	case level == hclog.Info:
		to = slog.LevelInfo
	default:
		return
	}
	if !l.out.Enabled(context.Background(), to) {
		return
	}
	rendered := make([]any, 0, len(l.args)+len(args))
	rendered = append(append(rendered, l.args...), args...)
	for i, arg := range rendered {
		switch v := arg.(type) {
		case hclog.Format:
			if len(v) > 0 {
				rendered[i] = fmt.Sprintf(fmt.Sprint(v[0]), v[1:]...)
			}
		case error:
			rendered[i] = v.Error()
		case fmt.Stringer:
			rendered[i] = v.String()
		}
	}
	l.out.Log(context.Background(), to, msg, rendered...)
}

// Trace implements hclog.Logger.
func (l *raftLogger) Trace(string, ...any) {}

// Debug implements hclog.Logger.
func (l *raftLogger) Debug(string, ...any) {}

// Info implements hclog.Logger.
func (l *raftLogger) Info(msg string, args ...any) { l.Log(hclog.Info, msg, args...) }

// Warn implements hclog.Logger.
func (l *raftLogger) Warn(msg string, args ...any) { l.Log(hclog.Warn, msg, args...) }

// Error implements hclog.Logger.
func (l *raftLogger) Error(msg string, args ...any) { l.Log(hclog.Error, msg, args...) }

// IsTrace implements hclog.Logger.
func (l *raftLogger) IsTrace() bool { return false }

// IsDebug implements hclog.Logger.
func (l *raftLogger) IsDebug() bool { return false }

// IsInfo implements hclog.Logger.
func (l *raftLogger) IsInfo() bool { return true }

// IsWarn implements hclog.Logger.
func (l *raftLogger) IsWarn() bool { return true }

// IsError implements hclog.Logger.
func (l *raftLogger) IsError() bool { return true }

// ImpliedArgs implements hclog.Logger.
func (l *raftLogger) ImpliedArgs() []any { return l.args }

// With implements hclog.Logger.
func (l *raftLogger) With(args ...any) hclog.Logger {
	joined := append(append([]any(nil), l.args...), args...)
	return &raftLogger{out: l.out, name: l.name, args: joined}
}

// Name implements hclog.Logger.
func (l *raftLogger) Name() string { return l.name }

// Named implements hclog.Logger.
func (l *raftLogger) Named(name string) hclog.Logger { return l.ResetNamed(l.name + "." + name) }

// ResetNamed implements hclog.Logger.
func (l *raftLogger) ResetNamed(name string) hclog.Logger {
	return &raftLogger{out: l.out, name: name, args: l.args}
}

// SetLevel implements hclog.Logger. The level is the slog handler's.
func (l *raftLogger) SetLevel(hclog.Level) {}

// GetLevel implements hclog.Logger.
func (l *raftLogger) GetLevel() hclog.Level { return hclog.Info }

// StandardLogger implements hclog.Logger.
func (l *raftLogger) StandardLogger(options *hclog.StandardLoggerOptions) *log.Logger {
	return log.New(l.StandardWriter(options), "", 0)
}

// StandardWriter implements hclog.Logger.
func (l *raftLogger) StandardWriter(*hclog.StandardLoggerOptions) io.Writer { return lineWriter{l} }

type lineWriter struct{ to *raftLogger }

func (w lineWriter) Write(line []byte) (int, error) {
	w.to.Info(string(line))
	return len(line), nil
}

// storeLogger gives Pebble's own lines to slog: what it does at Debug, what worries it at Warn. Fatalf is called when
// Pebble cannot keep its promises any more; it must not return.
type storeLogger struct {
	out   *slog.Logger
	fatal func(error)
}

// Infof implements pebble.Logger.
func (l storeLogger) Infof(format string, args ...any) {
	if l.out.Enabled(context.Background(), slog.LevelDebug) {
		l.out.Debug(fmt.Sprintf(format, args...))
	}
}

// Errorf implements pebble.Logger.
func (l storeLogger) Errorf(format string, args ...any) { l.out.Warn(fmt.Sprintf(format, args...)) }

// Fatalf implements pebble.Logger.
func (l storeLogger) Fatalf(format string, args ...any) {
	l.fatal(fmt.Errorf("replica: the store of finished payments failed: %s; free or replace the disk under the data directory, then start again: nothing acknowledged is lost", fmt.Sprintf(format, args...)))
}
