// Package breached tells which passwords others know, so that no customer chooses one of them.
//
// There are three lists, and a bank may use all of them:
//
//   - Common, which is part of the program: the few thousand that are tried first;
//   - a File on the node's disk, which 'netbank breached build' makes of a list of passwords or of their SHA-1, such as the one that Have I Been
//     Pwned gives away. No memory is needed for it, however long it is;
//   - a Range: a service that is asked over HTTPS by the first five hexadecimal digits of the SHA-1, and answers with all of its entries that
//     begin so. It learns 20 bits, which some thousand of its passwords have in common.
//
// # The file
//
// A line of text, and numbers of eight bytes each, big-endian, ascending, none of them twice:
//
//	netbank breached 1 000000000000008354\n
//	                   └ how many numbers follow, in 18 digits
//
// Each is the first eight bytes of the SHA-1 of a password's UTF-8. Among a thousand million entries a password that is not in the list is taken
// for one that is with a probability of 5 in 100,000,000,000. SHA-1 protects nothing here: it is what such lists are published in.
package breached
