// Package balancer gives a demo cluster on one machine one address for each door: a small TCP balancer, for trying and measuring
// only. A real bank puts HAProxy, a hardware balancer or a Kubernetes service in front of its nodes.
//
//	client ──> front ──(who is ready, and has the fewest connections?)──> backend's door of the same name
//	                            ▲
//	                            └── /readyz of each backend, ten times a second, and at once after a connection failed
//
// A backend that has just become ready is given a tenth of its share at first, and all of it after three seconds. One that is in reserve is given
// nothing as long as another is ready.
//
// It carries bytes and reads none, so TLS passes through, and a partner's certificate with it. A connection that a backend refuses, or does
// not take within a tenth of a second, goes to another backend. Once it is open it stays where it is: nobody but the client knows
// whether what was sent may be sent again, so a connection that breaks is broken for the client too, by a reset and never by an orderly end
// that would make half an answer look whole.
//
// A backend is in one of four states:
//
//	ready      answers 200                                   new connections come
//	not ready  answers something else: draining, no leader   new connections come only if nobody is ready: its pages say what is wrong
//	starting   answers that it is starting                   no new connections; its doors are open, but nobody serves behind them yet
//	down       does not answer, or refused a connection      no new connections; after three seconds of silence those that it has are reset
//
// One that ends a connection of its own accord is asked at once how it is, and others are preferred until it has answered: a process that dies takes
// connections for some milliseconds more.
//
// It never restarts anything, never repeats a request, and holds no connection that no backend took for longer than five seconds.
package balancer
