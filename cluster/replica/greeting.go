package replica

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"netbank/cluster/journal"
)

// Every message of Raft between two nodes of a cluster is addressed to one disk of one cluster, and a node takes only
// what is addressed to its own. The address stands where Raft keeps the sender's (RPCHeader.Addr), as fields parted by
// zero bytes:
//
//	"netbank1"  "to"     cluster  disk of the receiver  address of the sender, with its disk
//	"netbank1"  "hello"  cluster  node  disk  state  founders  "known" or nothing
//
// A hello is a question and its answer. It travels as a pre-vote for term 0, which Raft itself never sends, and never
// reaches Raft.
const (
	greetingMark  = "netbank1\x00"
	toMark        = greetingMark + "to\x00"
	helloMark     = greetingMark + "hello\x00"
	greetingBytes = 1024 // more than any greeting has
	diskDigits    = 16
)

// state is what a node has to say of its journal.
type state string

const (
	stateFounding state = "founding" // none yet; it waits for the other founders
	stateJoining  state = "joining"  // none yet; it waits to be added
	stateMember   state = "member"   // it has one
)

// hello is what one node tells another before Raft may speak.
type hello struct {
	cluster  string
	node     journal.NodeID
	disk     string
	state    state
	founders string // digestOf the list of founders, of a node that is founding
	known    bool   // in an answer: the asker's disk is that of a member
}

var errGreeting = errors.New("replica: not a greeting of a node")

func (h hello) encode() []byte {
	known := ""
	if h.known {
		known = "known"
	}
	return []byte(helloMark + strings.Join([]string{h.cluster, strconv.FormatUint(uint64(h.node), 10), h.disk, string(h.state), h.founders, known}, "\x00"))
}

// parseHello takes what encode gives, and nothing else.
func parseHello(text []byte) (hello, error) {
	var h hello
	body, ok := bytes.CutPrefix(text, []byte(helloMark))
	if !ok || len(text) > greetingBytes {
		return h, errGreeting
	}
	fields := strings.Split(string(body), "\x00")
	if len(fields) != 6 {
		return h, fmt.Errorf("%w: %d fields", errGreeting, len(fields))
	}
	node, err := strconv.ParseUint(fields[1], 10, 32)
	if err != nil {
		return h, fmt.Errorf("%w: %w", errGreeting, err)
	}
	h = hello{cluster: fields[0], node: journal.NodeID(node), disk: fields[2], state: state(fields[3]), founders: fields[4], known: fields[5] != ""}
	fine := plainID(h.cluster) && h.node > 0 && isDisk(h.disk) && (h.founders == "" || isDisk(h.founders)) &&
		(h.state == stateFounding || h.state == stateJoining || h.state == stateMember)
	if !fine || !bytes.Equal(h.encode(), text) {
		return hello{}, fmt.Errorf("%w: %.200q", errGreeting, text)
	}
	return h, nil
}

// isDisk tells whether text is 16 digits of a hexadecimal number, as a disk number and a digest are.
func isDisk(text string) bool {
	ok := len(text) == diskDigits
	for i := 0; i < len(text); i++ {
		c := text[i]
		ok = ok && (c >= '0' && c <= '9' || c >= 'a' && c <= 'f')
	}
	return ok
}

// expected is how everything begins that is addressed to this disk.
func expected(cluster, disk string) []byte {
	return []byte(toMark + cluster + "\x00" + disk + "\x00")
}

// misaddressed says what is wrong with a greeting that does not begin as expected.
func misaddressed(text []byte, cluster, disk string, node journal.NodeID) error {
	body, ok := bytes.CutPrefix(text, []byte(toMark))
	fields := bytes.SplitN(body, []byte{0}, 3)
	if !ok || len(text) > greetingBytes || len(fields) != 3 {
		return errGreeting
	}
	if got := string(fields[0]); got != cluster {
		return fmt.Errorf("%w: the message is for cluster %.80q, this is node %d of cluster %q; name the addresses of one cluster only", ErrOtherCluster, got, node, cluster)
	}
	return fmt.Errorf("%w: the message is for node %d with disk %.20q, this one has disk %s; the data directory was made anew: remove the node, and add it with a new number", ErrOtherDisk, node, fields[1], disk)
}
