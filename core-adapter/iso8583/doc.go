// Package iso8583 encodes and decodes the messages of a core banking system's line: ISO 8583:1987, ASCII fields, binary
// bitmaps (the second when a field above 64 is present), a 2-byte big-endian length before each message.
//
//	length  MTI   bitmap 1  [bitmap 2]  fields in ascending order
//	00 95   0200  8 bytes    8 bytes    fixed: the value; LLVAR, LLLVAR: 2 or 3 digits of length in bytes, then the value
//
// Which fields exist, how long they are and what they may hold stands in tables (tables.go), as does which fields each
// message must bear; the code only follows them. A core with other fields needs other rows, not other code.
//
// It is strict on purpose: a message that moves money is either understood whole or refused whole, with an error that
// names the field, what was found and what is allowed. Account numbers and the content of field 48 (who is paid, and how)
// never stand in an error. Nothing here opens a socket, reads a clock or keeps state; a Message is reused without
// allocating, and is for one goroutine at a time.
package iso8583
