package lab

// ServerFiles are the PEM files of the partner door: its certificate, its key, and the authority that signs partners' certificates.
func (d *Dev) ServerFiles() (cert, key, ca string) {
	return d.path("pki", serverCertFile), d.path("pki", serverKeyFile), d.path("pki", caFile)
}
