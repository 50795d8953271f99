// Package system holds tests of the whole: the real programs as processes, reached through their real doors, killed, starved and
// attacked, and then audited. It has no code of its own.
//
//	TestMain builds netbank-lab ──> rig: core and bank as processes, seeded through the operator's port
//	                                 │
//	     load: shoppers, a third of whom click twice ──> kill, fault, attack ──> await the resolver ──> audit
//
// Every random choice comes from a seed, which a test prints. The normal run is short; NETBANK_KILLS and NETBANK_CORE_KILLS set how
// often bank and core are killed, and NETBANK_SEED repeats a run's choices. Times depend on the machine, so a seed repeats the
// choices, not the interleaving.
//
// The wrong clock is the bank's own, shifted by a flag that only netbank-lab has. The full disk needs a mount, so the superuser; without it that test says so and is skipped.
package system
