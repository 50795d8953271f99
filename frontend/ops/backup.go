package ops

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"

	"netbank/cluster"
)

// Backup is a backup on its way out.
type Backup interface {
	io.WriterTo
	Size() int64 // bytes that WriteTo writes
	Close() error
}

// backup streams a backup of this node. It cannot take its status back when it fails on the way: then the connection is cut, and the
// receiver misses bytes.
func (p *port) backup(w http.ResponseWriter, r *http.Request) {
	if p.Backup == nil {
		fail(w, p.noJournal("a backup"))
		return
	}
	began := time.Now()
	p.audit(r, "backup", "begun")
	b, err := p.Backup()
	if err != nil {
		p.audit(r, "backup", "failed", "error", err)
		if errors.Is(err, cluster.ErrWorker) {
			fail(w, p.noJournal("a backup"))
			return
		}
		fail(w, backupProblem(err))
		return
	}
	defer func() {
		if err := b.Close(); err != nil {
			p.Logger.Error("ops: what a backup held on disk is not removed; the next start removes it", "error", err)
		}
	}()
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("Content-Disposition", fmt.Sprintf("attachment; filename=\"netbank-%s.backup\"", began.UTC().Format("20060102T150405Z")))
	w.Header().Set("Content-Length", strconv.FormatInt(b.Size(), 10))
	n, err := b.WriteTo(patiently(w))
	if err != nil {
		p.audit(r, "backup", "failed", "bytes", n, "of", b.Size(), "error", err)
		panic(http.ErrAbortHandler)
	}
	p.audit(r, "backup", "done", "bytes", n, "took", time.Since(began))
}

// backupProblem says why a backup could not begin. What the disk said stands in the log only.
func backupProblem(err error) problem {
	switch {
	case errors.Is(err, cluster.ErrBackupRuns):
		return problem{Status: http.StatusConflict, Code: "backup-runs", Detail: "another backup of this node is under way", Remedy: "wait for it; one is made at a time"}
	case errors.Is(err, cluster.ErrNoJournal):
		return problem{Status: http.StatusNotFound, Code: "no-journal", Detail: "the journal of this node is empty", Remedy: "there is nothing to back up yet"}
	}
	return problem{Status: http.StatusInternalServerError, Code: "backup", Detail: "no backup could be made", Remedy: "the node's log says why; look at its disk first"}
}
