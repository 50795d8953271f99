// Package session knows who is signed in. It seals and opens session cookies, checks passwords and one-time codes, and keeps
// strangers from locking customers out.
//
// A session is a sealed cookie: any node opens it, none has to fetch it, so a node that has just come is as good as one that has
// been there all day. What must be shared is only what changes a cookie's meaning: which session of a customer is in force, the attempts,
// the one-time codes used. The journal holds that, and Store.Open asks it on every request.
//
//	cookie ──> KeyRing: open ──> absolute limit ──> journal: in force? ──> idle limit ──> profile ──> Session
//	             root key by id                      (on every request)                  cache, or directory
//	             HKDF: a key per purpose
//
// Store is the only door. Behind it a cache keeps the customer's profile (name, accounts, tier, reserved message). It is a cache and
// nothing else: the package behaves the same when it keeps nothing, or gives an old entry back.
//
// # Signing in
//
//	SignIn: reserve a place ── look up ── wait for a turn ── commit Attempt ── argon2id ── commit SignIn ── seal
//	           │ too late: ErrBusy            │ ErrBusy
//
// The attempt is committed before the password is checked (rule 9), so that guesses at several nodes at once are counted
// together. Place and turn come before the attempt, so that an overload refuses with ErrBusy and never uses up
// a customer's attempts.
//
// The queue is bounded by time: who would, by measured times, be answered too late for SignInObjective is refused at once. The
// hashes are computed by Config.Deriver; package derive has one that holds up nothing in this process.
//
// The halves of a double click are one sign-in (Client.Form): what is equal and comes to a node while the first of it is under way gets the
// first one's answer and its cookie, and is counted once. Halves that a balancer takes to two nodes are two sign-ins, of which the newer counts, and
// a browser that kept the older one's cookie is asked once more.
//
// # Locks, and the guard against locking others out
//
// Five attempts in a row without a success lock a lane for 15 minutes. Passwords from known devices and from unknown ones
// are counted in lanes of their own. A browser becomes known when its customer has confirmed a payment with a second factor on it
// (RememberDevice); it then carries a device cookie that names this one customer. So a stranger who knows a user name can close
// sign-in from unknown devices, and never the customer's usual browser; and who has stolen only the password cannot get
// into the lane of the known devices. One-time codes have a third lane, which only a session in force can try.
//
// # What a stranger can learn
//
// Not who is a customer. A user name that nobody has goes the same way: a place in the pool, an Attempt through the journal (for a
// customer that does not exist), an argon2id hash with Config.Params. So does a locked one. What a stranger is told depends
// only on what strangers have tried under that name at this node (type guesses): "wrong" five times, then "locked until", for
// real and made-up names alike. Only a known device is told what the journal says. What remains: the look-up and unsealing of a
// real record take some microseconds more, against milliseconds of noise in hash and commit; records hashed with
// other parameters than Config.Params take another time; and a stranger who guesses while the customer signs in from an
// unknown device sees the count begin anew.
//
// # Keys
//
// Root keys come from the journal, sealed under the key-encryption key. Each token names its key. The newest key seals once it is
// SealDelay old, so that no node meets a token before its key; a key opens cookies, consents and links for KeyLifetime. A leader
// commits a new one when RotationDue. A device cookie opens for DeviceLifetime, or until its root key leaves the journal, if that is sooner;
// it is made anew with every second factor once it is 30 days old.
//
// # What the package never does
//
// It never reads a request, sets a cookie or writes a log; it never gives a password, code, key or account number to an error or a metric;
// it never updates what the cache holds; it never checks a factor without a committed attempt.
package session
