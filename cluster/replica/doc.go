// Package replica keeps one node's copy of the journal: the Raft log on disk, the state machine that the log drives,
// the store of finished payments, the snapshots of both, and the guard that ends the process when the disk fails.
//
//	Propose ──> Raft ──> log on disk (fsync) ──> commit ──> journal.Machine.Apply ──> Future, OnApplied
//	             │            ▲                                  │      │
//	        Transport     disk guard                     open payments  finished payments (Pebble, no log of its own)
//	             │                                               └──┬───┘
//	        other nodes  <──────────── one stream ─────────────  snapshot
//
// # State is snapshot plus replay
//
// Nothing but the newest snapshot and the log behind it counts. Pebble runs without a write-ahead log and without
// fsync of single writes; its working directory is thrown away at every start, linked anew from the snapshot's
// checkpoint, and brought up to date by replaying the log. So a crash can never leave the two halves of the state,
// memory and disk, at different entries. A snapshot is the copy of what is in memory and the flushed Pebble
// checkpoint, both taken between the same two entries.
//
// # The data directory
//
//	LOCK                  held (flock) by the process that has the directory open; holds its pid
//	version               the format of the directory and the node it belongs to
//	log/                  the Raft log in segments of 64 MiB, and its term and vote (wal-meta.db)
//	snapshots/<name>/     a finished snapshot: manifest, live, pebble/…; the newest two are kept
//	snapshots/*.tmp       an unfinished snapshot; removed at the next start
//	snapshots/damaged-*   a snapshot whose checksums did not fit, set aside for a person; one is kept
//	snapshots/backup.tmp  hard links to the snapshot that a backup is being made of
//	state/                Pebble's working directory
//	restoring             a restore is being made here, or was broken off; means nothing beside "version"
//
// While the process is stopped, state/, snapshots/*.tmp and snapshots/damaged-* may be deleted; they are made anew or not
// needed. Never delete or edit log/, version, or a finished snapshot, and never copy single files from one
// directory to another: what the log acknowledged is nowhere else on this node.
//
// A copy of a directory is not a backup. It holds the node's votes and what the node acknowledged up to the copy, and has
// forgotten the rest. Started in the original's place, or beside it, it votes a second time in the same term, and can
// elect a leader that lacks acknowledged payments: its disk number is the original's, so that nobody can tell. A directory
// may be moved, never doubled. A backup is the state alone, without log, vote and disk number; restored, it is the
// first node of a new cluster with a disk number of its own, which commits BumpEpoch before anything else, or
// the core would meet references that it has seen. Replica.Backup writes one while the node runs (backup.go), and Restore makes
// a data directory of it, with BumpEpoch at the head of its log.
//
// Several things of one node may share the directory; names other than those above are left alone.
//
// # Clusters
//
// A node with a Config.Cluster can have others beside it. Beginning says what it does while it has no journal; once it has
// one, it goes on with that and nothing else.
//
//	Alone     a cluster of this node; others may be added
//	Founding  the founder with the lowest number asks all the others; when each waits with an empty directory for the same
//	          founders, it writes the first configuration, and the others get it as an entry. Nobody else ever writes one
//	Joining   waits until the leader adds it: AddNonvoter (it gets every entry, and has no vote), then Promote (it
//	          has caught up, and votes)
//
// Every data directory draws a random number, its disk, and Raft knows a member as address#disk. Each message of Raft names
// the disk that it is meant for, and a node takes only what is meant for its own (link, greeting.go). So a directory that
// was lost and made anew under the same number and address is not taken for the member that it was: that one promised
// not to vote twice and to keep what it acknowledged, and this one has forgotten both. It comes back with a new number.
// Waiting tells what a node waits for, or that it stays out.
//
// Members are changed one at a time, by the leader, behind a barrier of its own term. Remove looks first whether a majority
// of those who would be left answers. TransferLeadership holds new proposals back and waits for those under way, so
// that none of them ends as ErrUnknown; it is what a node does before it stops.
//
// # What Open makes of a crash
//
// A torn write, or a segment that was sealed and not yet noted as such, is repaired: what lies behind the last whole
// commit was never acknowledged (logrepair.go). An unfinished snapshot is removed. A finished one with wrong
// checksums is set aside, if the one before it and the log still make the whole state; the log is kept that
// far back for this. A log that ends before the snapshot is emptied, since raft-wal would refuse every entry
// behind the gap. Anything else that leaves a hole is ErrDamaged, and nothing is changed.
//
// # What it never does
//
// It never answers "done" for what is not on disk on a majority. It never goes on after a write to the log has failed
// or hung: hashicorp/raft does not elect away from a stalled disk, so the process ends and the others go on. It never
// skips an entry that it cannot read. It never starts from a snapshot that leaves a hole before the log.
package replica
