// Package chaos lets a bank of real processes live through faults drawn from a seed, and looks whether it kept its promises. It belongs to
// netbank-lab; the product does not link it.
//
//	seed ──> Plan: what goes wrong, when, for how long ──> inflict ─┐
//	  │                                                             ▼
//	  └────> load: errands at random moments ──────────────> core, nodes as processes
//	             │ what was done, and what was told                 │ ledger, journal
//	             ▼                                                  ▼
//	          History ──> Check (porcupine): one payment at a time   audit: journal, ledger and clients compared
//
// # What is checked
//
// A history holds what clients did and were told: creations under an idempotency key, confirmations, cancellations, reads of the
// status, the ends of sessions. Check holds each payment's part to a sequential model (model.go): there must be one order
// in which every operation took effect between its call and its answer. One without an answer may take effect at any later time. The model
// knows that a payment is settled only after a confirmation by a session in force (BoundConsent, OutMeansOut), that a refusal
// allows nothing (RefusedMeansNotCharged), that versions grow, that one version is one status and that a final status stays
// (StatusNeverGoesBack), and that what was acknowledged is found again (NothingAcknowledgedIsLost). What the bank does by itself
// becomes known with the first answer that shows it. Where the money is, clients cannot see: that is the audit's part, when the bank is
// at rest.
//
// A violation is told without the operations that it does not need. Only reads, refusals and ends of sessions are left out: they
// forbid and never allow, so that what is left is a violation still. The whole history stays in a file, which --check reads again.
//
// # What a seed repeats
//
// The plan, and the load's dice. Times depend on the machine, so the interleaving differs from run to run; a violation is a
// violation in each.
//
// # Faults
//
// Each coordinator's data directory is a small file system in a file, mounted for the run: it can be filled, and frozen, so that
// writes wait as on a disk that does not answer. That needs the superuser; without, these faults are left out, and the run
// says so. The clock is the lab bank's own. Between nodes there are links of this process on the loopback (links.go),
// which stop and delay each direction on its own and lose nothing; or, by --network namespaces, namespaces of the kernel with an address for each node
// (namespaces_linux.go), in which packets are lost for real and connections are left hanging. The first need no rights. The second need the
// superuser and iproute2, and can delay only where the kernel's tc has netem. Between clients and nodes, and between nodes and the core, bytes
// go straight: what may happen there the core's own faults do.
//
// Workers are killed, stood still and cut off as coordinators are, and replaced: removed from the cluster while they are down, with another one in
// their place that has to join. A worker that is cut off is looked at meanwhile (cutoff.go): it must show what it has shown, marked as last
// seen, not call itself ready, and grant nothing.
//
// # Planted bugs
//
// testdata/planted holds bugs as patches. The script planted builds a copy of netbank with each and shows that a run finds it, so the
// product carries no switch for them.
package chaos
