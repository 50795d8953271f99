// Package peer is the port between the nodes of one cluster: one TCP port, TLS 1.3, certificates on both sides, and ALPN
// saying what a connection is for. It also makes what stands behind it: the cluster's own certificate authority, the
// certificates of the nodes, and the tokens with which a new node joins.
//
//	                        ┌─ netbank-raft/1 ─── coordinators only ──> raft.StreamLayer ──> Raft
//	TCP ──> waiting room ──>│  netbank-stream/1 ─ any member ─────────> Config.Stream(Peer, net.Conn)
//	        TLS 1.3,        │  netbank-renew/1 ── any member ─────────> Config.Renew: request in, certificate out
//	        deadline        └─ netbank-join/1 ─── holder of a token ──> Config.Enrol: the same, and a node number
//
// # Who is who
//
// A node is known by the one URI in its certificate, netbank://CLUSTER/ROLE/NUMBER, signed by an authority that this node
// trusts. Host names and addresses prove nothing and are never looked at: a node may move. Who dials says which node it
// wants, and hangs up when another one answers, since a message of Raft that reaches the wrong node could break its promises.
// After the handshake, Config.Admitted is asked on both sides, so that a removed node is refused although its certificate
// still runs. A coordinator's port hands no Raft to a worker.
//
// # Two kinds of no
//
// A stranger gets a TLS alert and nothing else. A member (its certificate is good) or the holder of a token gets a sentence
// that says what to do: the accepting side opens every connection with one byte, welcome or refusal. So Dial returns only when
// the other side has said yes; TLS 1.3 alone would let a refused client believe that it is connected until it reads.
//
// # Certificates
//
// An Authority is an ECDSA P-256 key with its certificate; an Identity is a node's key, certificate and the authorities that it
// trusts, at most two: the current one and, during a rotation, the one before or after it. Secret keys leave the package
// only sealed. Both are values without a file: to keep them is the caller's. A node's certificate lives 30 days and is renewed
// after 20 by KeepRenewed through any coordinator. Trust and Renew change what new connections trust and show; those that
// stand go on. To rotate the authority, each step on every node before the next one begins:
//
//  1. Trust both: Port.Trust(old, new).
//  2. Issue from the new one, and give every node a certificate of it: Port.RenewNow, or Authority.Identity and Port.SetIdentity on a
//     coordinator, which has the authority.
//  3. Trust the new one only: Port.Trust(new).
//
// A worker whose certificate lapsed while it was off joins again. A coordinator has the authority in its own copy of the
// journal, and makes itself a new certificate with Authority.Identity: a cluster that was off for months starts again.
//
// # Joining
//
// A Token is one line: cluster, fingerprint of the authority, addresses of coordinators, role, expiry, and a secret of 256 bits. The
// new node makes a key, dials, and sends secret and certificate request only to a coordinator whose certificate comes from the
// authority named in the token. The cluster keeps a TokenRecord with the secret's hash. Whether a token has been used, and which number
// the node gets, is decided by Config.Enrol, that is, by the journal.
//
// # What a flood meets
//
// Connections that have not shown who they are stand in a waiting room of fixed size. When it is full the one that has
// been there longest goes: a node needs some milliseconds, so a flood must bring the whole room's number within that time to
// keep it out, and slow strangers only push out each other. A join request, too, is read in the waiting room. Behind it
// each kind of connection has places of its own, and each node a number of them, so that workers cannot crowd out Raft.
//
// # What it never does
//
// It never decides who is a member, never keeps a file, and never speaks without TLS. It never lets a key, a token's secret or a
// certificate request reach a log or a metric. What a coordinator sends on netbank-raft/1 is Raft's own format, which
// bounds nothing by itself: a coordinator is trusted as far as that.
package peer
