// Package haproxy is the configuration of a HAProxy in front of netbank's nodes, for programs that start one: what is measured behind it
// is measured behind what banks are told to use.
package haproxy

import _ "embed"

// Config is haproxy.cfg. Its head says which variables it reads.
//
//go:embed haproxy.cfg
var Config []byte

// Refusal is 503.http, the answer to those whom no node can take.
//
//go:embed 503.http
var Refusal []byte
