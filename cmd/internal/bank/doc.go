// Package bank joins the parts of netbank into one running node: the link to the core, the journal and its gate, sessions, the
// doors for customers, partners and operators, and the webhooks out. cmd/netbank and cmd/netbank-lab run the same bank; what only
// the lab may do stands in Config.Lab, and the product leaves it empty.
package bank
