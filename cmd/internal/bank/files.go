package bank

import (
	"log/slog"
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

// doorLimits shares the file descriptors that this process may have among its doors.
func doorLimits(logger *slog.Logger) (customers, partners edge.Limits) {
	var files syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &files); err != nil {
		logger.Warn("bank: the limit of open files cannot be read; the doors take their full number of connections", "error", err)
		return edge.Limits{}, edge.Limits{}
	}
	full := edge.DefaultLimits().Connections
	customers.Connections, partners.Connections = shareFiles(files.Cur, full)
	if customers.Connections < full || partners.Connections < full {
		logger.Warn("bank: the doors take fewer connections than they could; allow the process more open files (LimitNOFILE, ulimit -n)",
			"files", files.Cur, "customers", customers.Connections, "partners", partners.Connections, "each could take", full)
	}
	return customers, partners
}

// shareFiles gives each door as many connections as it may have, at most full.
func shareFiles(files uint64, full int) (customers, partners int) {
	own := min(ownFilesMax, files/2)
	others := files - own
	partners = int(min(uint64(full), others/partnerShare))
	customers = int(min(uint64(full), others-uint64(partners)))
	return customers, partners
}
