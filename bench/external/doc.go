// Package external drives a running bank with load generators that others wrote: wrk, wrk2, vegeta and k6. It holds their scripts, and
// tests that keep the scripts from going stale. docs/load-tools.md says how to use them and what each of them hides.
//
//	demo.sh ── reads ──> demo.json of the bank's data directory
//	   ├── targets.sh, payments.sh      creates, each with a key of its own
//	   ├── wrk.sh + wrk.lua             closed loop, customer door (wrk2: by intended start)
//	   ├── vegeta-{page,status,create}.sh
//	   ├── k6.sh + k6-{page,flow}.js + k6-bank.js
//	   ├── own.sh                       this project's own generator on the same pages
//	   └── stall.sh, stall-table.sh     the same bank frozen for a second under each of them
//
// None of it is a measurement for the record: no audit follows, so a bank that paid twice would look fast. That is netbank-lab bench.
package external
