// Package message sends short messages to customers by the bank's message gateway: an HTTP service that takes a text and a telephone number, and does
// the rest. docs/message-gateway.md is what a gateway has to do.
//
//	Send ──> queue ──> POST {id, to, text} ──> 2xx: taken
//	  │ ErrFull         │ 429, 5xx, no answer: again, with the same id, for TryFor
//	  │ ErrDown         │ other 4xx: never
//
// Send returns at once: a customer waits for a page, not for a gateway. A gateway that answers nobody is not asked for each customer: after
// FailuresMax failures in a row Ready says so, and the page offers another way, until an attempt after DownFor has gone well.
//
// Texts hold codes and payees, and numbers name people. Neither is ever logged, nor the token, nor what the gateway answers.
package message
