// Package repository holds no code: its tests are the rules of the house that a compiler does not check. They fail with
// the line to mend.
package repository
