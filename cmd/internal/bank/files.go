package bank

import (
	"fmt"
	"syscall"

	"netbank/frontend/edge"
)

const (
	// ownFilesMax is how many file descriptors are kept from customers and partners: for the operator's port, other nodes, the core and the
	// journal's files. Without them a full customer door would be a bank that nobody can look into.
	ownFilesMax = 2_048
	// partnerShare is the part of the others that partners get, when there are not enough for every connection: one in eight.
	partnerShare = 8
)

// shareDoors shares the file descriptors that this process may have among its doors. note is for the log once the doors are open; empty: each
// gets its full number.
func shareDoors() (customers, partners edge.Limits, note string) {
	var files syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &files); err != nil {
		return customers, partners, fmt.Sprintf("the limit of open files cannot be read (%v); customers may take the operator's", err)
	}
	full := edge.DefaultLimits().Connections
	customers.Connections, partners.Connections = shareFiles(files.Cur, full)
	if customers.Connections < full || partners.Connections < full {
		note = fmt.Sprintf("with %d open files customers get %d connections and partners %d, of %d each; allow the process more (LimitNOFILE, ulimit -n)",
			files.Cur, customers.Connections, partners.Connections, full)
	}
	return customers, partners, note
}

// shareFiles gives each door as many connections as it may have, at most full.
func shareFiles(files uint64, full int) (customers, partners int) {
	own := min(ownFilesMax, files/2)
	others := files - own
	partners = int(min(uint64(full), others/partnerShare))
	customers = int(min(uint64(full), others-uint64(partners)))
	return customers, partners
}
