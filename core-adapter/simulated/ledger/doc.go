// Package ledger is the durable double-entry ledger of the simulated core host: accounts, postings, and every reference
// with the first answer it got.
//
//	Submit ──> queue ──> Book.Decide ──> Book.Apply ──> one frame, one fsync ──> answers
//	           bounded   pure, no I/O    the only place   for all operations      only now
//	                                     that changes     that were waiting
//
// Book is the pure half: it decides what an operation does and changes its state by records only. File is the other
// half: it appends frames of records and reads them again. Ledger joins the two with one goroutine, so that an answer
// never leaves before its record is durable, and a restart (records, applied in order) gives the same Book.
//
// The rules:
//
//   - A reference (RRN and payment id) is debited at most once. A repeat gets the first answer. A repeat with another
//     account, amount or currency gets 94 and moves nothing.
//   - A reversal of a done debit posts the reverse; from then on a repeat of the debit gets 21, not its old approval.
//   - A reversal of a reference never seen is recorded and acknowledged; every later debit of it gets 21 and moves nothing.
//   - A reversal of a declined debit is acknowledged and changes nothing: a declined reference can never be debited.
//   - No customer's account goes below zero. All postings of a currency sum to zero, opening balances included: they are
//     posted against the bank's own equity account, debits against its clearing account.
//
// What this package never does: it reads no clock, draws no random number, opens no socket, and knows no wire format.
//
// # The file
//
// One file, ledger.log: 16 bytes of magic and version, then frames. A frame is one group commit:
//
//	magic "NBLF" | payload length u32 | CRC-32C u32 | number of the first record u64 | payload: records
//
// little-endian, the CRC over the length, the number and the payload. A frame that was cut short by a crash can only be
// the last one, and nothing in it was ever acknowledged: it is cut off at start. A bad frame with a good one behind it is
// damage, and the ledger refuses to open. (A disk that spoils the very last frame looks like a crash; a ledger that is not
// for trying and measuring would keep a second copy.) There is no compaction: a debit costs about 100 bytes for ever.
package ledger
