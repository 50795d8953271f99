// Package simulated is a simulated core host: a real server on the real ISO 8583 wire, with a durable double-entry ledger
// (package ledger) behind a congestion model (package congestion), for trying netbank and for measuring it. It is no part
// of the product: cmd/netbank does not link it.
//
//	0200 0100 ──> link ──> congestion.Driver ──> ledger: decide, one fsync a batch ──> link ──> 0210 0110
//	0420 0600      │             ▲                                                       │      0430 0610
//	               │             │ model, capacity                                       │ drop, double, delay
//	             bad input    admin port (loopback)                                    faults
//	             closes it
//
// A request whose caller is gone is worked on to its end and takes effect. A repeat of a debit that is still running waits
// for the first and gets its answer; of one that is done, gets that answer again (see package ledger). While a debit runs in
// the model, an inquiry for it is answered 09. A request that is well formed and makes no sense (another processing code,
// no currency, no payment id) moves nothing: a debit or balance is answered 05, a reversal or inquiry 96. When too many
// requests are inside, further ones are answered 96, in doubt.
// What is malformed, comes before the sign-on, or is no request closes its connection with a reason in the log.
//
// # Admin port
//
// HTTP on loopback, JSON in camelCase; amounts in minor units, times in milliseconds. Unknown fields, values out of range
// and requests from a browser are refused with a sentence. PUT replaces the whole: what is left out has its default.
//
//	GET, PUT /model      {"kind":"ps","sigma":0.02,"kappa":0.00024,"debitMillis":40,"balanceMillis":8,"inquiryMillis":8,
//	                      "reversalMillis":30,"cv":1,"seed":1}                     mean demands, lognormal with that cv
//	                     {"kind":"servers","servers":8}                            demands as above
//	                     {"kind":"fixed","latencyMillis":0}                        no demands
//	GET, PUT /faults     {"capacity":1,"extraLatencyMillis":0,"dropRequests":0,"dropAnswers":0,"duplicateAnswers":0,
//	                      "refuseConnections":false,"freeze":false,"decline":""}   see Faults; {} heals
//	DELETE /connections  {"closed":2}                                              work inside goes on
//	GET /status          {"sync":true,"connections":4,"inFlight":..,...}                counters since the start
//	GET /peak            {"unlimited":false,"knee":64,"workPerSecond":19.8,"debitsPerSecond":495,...}
//	POST /accounts       lines {"number":"6222020000000000001","currency":"CNY","balanceMinor":10000000,"debitLimitMinor":0}
//	                     -> {"opened":200000,"existing":0,"refused":0}, when durable; one that is there stays as it is;
//	                     a debitLimitMinor of 0 or none is ledger.DebitLimitMinor
//	GET /ledger          {"accounts":..,"references":..,"debited":..,"declined":..,"reversed":..,"voided":..,"duplicates":..,
//	                      "mismatched":..,"records":..,"currencies":{"CNY":{"customersMinor":..,"clearingMinor":..,
//	                      "equityMinor":..,"totalMinor":0}},"balanced":true}       duplicates and mismatched since the start
//	GET /ledger/references[?paymentId=...]
//	                     lines {"reference":RRN,"paymentId":..,"debitedMinor":..,"currency":"CNY","status":"debited",
//	                      "reversed":false,"debits":1,"code":"00"}, one for each reference, durable ones only; a stream
//	                     that ends in the middle is cut off, not ended in order
package simulated
