// Package session knows who is signed in. It seals and opens session cookies, checks passwords and one-time codes, and keeps
// strangers from locking customers out.
package session
