// Package derive computes password hashes in a process of their own, which the operating system runs only when nothing else wants
// the processor.
//
//	bank: Process.Key ── request, numbered ──> stdin  │ hashing process: one goroutine for each request
//	             ^                                    │ argon2id, at the lowest priority
//	             └────── answer, numbered ─── stdout  │
//
// Within one Go process nothing can be preferred: goroutines have no priority, and a hash's 19 MiB make the collector run, and
// confirmations pay for it. Between processes the kernel sees to both (docs/decisions/0009-sign-in-isolation.md).
//
// The hashing process holds a password for as long as it hashes it. It knows no customer and no stored hash: it gives the
// derived key back, and the bank compares. It opens no file and no socket, and ends when its standard input does, that is, with
// the bank however that ends.
package derive
