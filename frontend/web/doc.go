// Package web holds what customers see: templates, the style sheet, and every sentence in Chinese and English, embedded
// into the binary.
//
// Templates are parsed once per language when the program starts, so that a page needs no look-up of sentences that
// never change. Nothing here needs JavaScript, and nothing is written inline: the content security policy forbids it.
package web
