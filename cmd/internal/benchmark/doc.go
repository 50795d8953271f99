// Package benchmark is the command `netbank-lab bench`: it starts a bank of its own on free ports, in a folder of its own,
// with the simulated core and a hello world in processes of their own, runs a scenario of netbank/bench/scenario against
// it, and writes the report. The process of the command is the load generator.
//
//	netbank-lab bench ──starts──> netbank-lab core    (ISO 8583)
//	  generator       ──starts──> netbank-lab bank    (the bank of the product; cheap password hashes, pprof)
//	      │           ──starts──> netbank-lab hello   (answers everything with the same 200)
//	      └──── HTTP, TLS ──────> doors of bank and hello
package benchmark
