// Package journal is the replicated state machine: which payments exist, which may be inside the core, what the core
// said, which sessions are in force, and what partners have yet to be told.
//
// It is pure. Time, terms and commands come in as arguments of Apply; results go out as values; what is finished is
// kept behind the narrow interface Store. There is no goroutine, clock, socket, file or random number in here, so
// that the same log gives the same state on every node, for ever, and every rule can be tested by a scenario file.
//
//	Batch (one Raft entry) ──> Apply ──> []Result, []Change
//	                             │
//	      open payments, access, partners, keys: tables in memory
//	      finished payments, and whose each is, customers, idempotency keys, outbox: Store
//
// # A payment's life
//
//	         cancel ┌──> cancelled          not sent ┌──> rejected
//	                │                                │        ▲
//	create ──> received ──> authorised ──────────────┴────────┤ declined
//	                │            │  └── approved ──> settled  │
//	        expire  └──> expired │                      ▲     │
//	                             └──> in doubt ─────────┴─────┤
//	                                     └──> reversing ──────┘
//
// Settled, rejected, cancelled and expired are final. Every arrow raises the payment's version by one, gives a Change,
// and puts a Notice for the partner into the outbox, all in the same step.
//
// # How to use it
//
// A node owns one Machine and feeds it every committed entry in order:
//
//	m := journal.New(store, journal.DefaultLimits())
//	results, changes, err = m.Apply(raftEntry.Term, &batch, results[:0], changes[:0])
//	if err != nil {
//		// The entry must not be passed over: a newer program wrote it, or the store failed. End the process.
//	}
//
// results[i] answers batch.Commands[i]. Whatever is wrong with one command is in its Verdict and harms no other. The
// proposer learns what became of its command: Done, or why not, with the payment as it now stands.
//
// A snapshot is a Live, taken between two calls of Apply and written while Apply goes on, together with a checkpoint of the
// Store of the same moment. To restore: put the Store back, call ReadFrom on a new Machine, apply the log that follows.
//
//	live := m.Live()           // microseconds: chunks of the tables are shared and copied on the next write
//	go live.WriteTo(snapshot)  // sorted, so equal states give equal bytes; Digest is the checksum of these
//
// # The grant
//
// Authorise is the one command behind which money moves. It is the customer's consent, the seat in the core and the
// payment's name there, in one step, and it is checked here once more whatever was checked before:
//
//   - the payment is received and its time is not over, by the journal's time;
//   - the gate that granted the seat is of the entry's own term (StaleTerm otherwise);
//   - the session is the customer's newest, not ended, not over (NoSession);
//   - amount, payee and account are those of the payment, and the account is the customer's (ConsentDiffers);
//   - the one-time code was not used (FactorUsed).
//
// Then the executor is written down, and no second one ever is; whoever asks again is Attached to the first. The wire
// identity (fields 7, 11 and 37) comes from counters of the journal, so any node can later build the reversal. The first
// two characters of field 37 are an epoch, which BumpEpoch raises after a restore from a backup.
//
// # Once
//
// A command's id is remembered with its verdict, so a command that is offered twice takes effect once, and one that
// was refused stays refused: somebody may have been told that nothing was charged. Only StaleTerm is forgotten, because
// the same command goes to the next gate. The table holds the newest CommandIDs ids. What comes later still meets the
// states (a payment is granted once in its life) and the idempotency keys (a request creates one payment).
//
// # Doubt
//
// Silence and codes that say nothing (09, 25, 94, 96) put a payment in doubt, never into rejected, even if the proposer
// calls them a refusal. From in doubt the core's word leads out, or BeginReversal: from then on only Reversed does.
// When the core contradicts a final state, the state stays and the reconciliation list gets an entry for a person.
//
// # Who belongs to the cluster
//
// The journal holds who may connect: the nodes with their numbers, the tokens with which others join, and the authorities of the
// certificates, sealed. A number is drawn here and never given again; a token lets in no more than it is good for; the same key again is
// the same node, so that a lost answer costs nothing. Which coordinators vote is Raft's to know. A reader gets the Membership as a
// whole, which never changes: the next one has the next version.
//
// # What operators wish for
//
// A lever (how many workers run, which level the gate's ceiling has) stands where an operator wishes. A wish names the lever's fence as the
// operator has seen it, which every change raises: so of two operators one is refused, and a deposed leader's last word comes to nothing. A
// wish with an end gives way to the last one without, by a LapseWishes of the leader, in journal time. One that asks for a second operator
// waits for ApproveWish. The journal only says what is wished for; the leader sees to it. Each change, a drain of a node, and every Note
// of something else that an operator has done make an entry of the audit, which holds the newest Limits.Acts.
//
// # Why it looks like this
//
//   - Tables are slabs of cells without pointers, texts lie in chained blocks. A map of pointers to five million payments costs
//     gigabytes and seconds of garbage collection; here an open payment costs about 520 bytes, index included, and
//     the collector sees a list of chunks. A payment's three commands allocate three times: one string each for the copies in their Results.
//   - Nothing is decided by the order of a Go map, by a slot's number or by a heap's shape. A machine restored from a snapshot
//     has other slots than one that replayed, and must do the same.
//   - Limits are part of the algorithm, not of a node's configuration: two nodes with different limits would answer
//     differently. A limit is met at the door, by refusing new payments (TooMany), and never by a payment under way: roomFor
//     sets aside the notices that every open payment can still cause.
//   - The Store may fail, and then the Machine is done for: half an entry may be written. It says so (ErrStore) for ever,
//     and the process is to end and rebuild both from snapshot and log.
//
// # Learning it
//
// The files testdata/*.txt, in order, are a course: each block is one entry, with a sentence over it and the answers
// below the line. `go test -run Scenarios -update` writes the answers of a new block. property_test.go holds the
// invariants against random logs; rules_test.go has a test for each rule; testdata/journal-v1.bin is a recorded log that
// every later version must replay to the same digest.
package journal
