package chaos

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// What the nodes see of a network of namespaces.
const (
	subnet   = "10.77.0." // of the nodes; nothing outside has to know
	peerPort = "7000"
	// nowhere is a hardware address that nobody has: what is sent to it is lost on the way, without a word to the sender.
	nowhere = "02:00:00:00:00:ff"
)

// namespaces is a network in which each node has a namespace and an address of its own, joined by a bridge. Packets are lost for
// real: what a node sends to another one that it is not to reach goes to a hardware address that nobody has. So connections are neither accepted nor
// refused nor ended, and TCP finds out by itself, slowly. Clients, the core and the webhooks' receiver stay outside: their addresses are the same
// inside, and their connections are passed on (doors).
type namespaces struct {
	prefix  string
	files   []*os.File // of the nodes' namespaces
	doors   *links
	delays  bool // the kernel can make packets late
	say     func(format string, args ...any)
	lock    sync.Mutex
	stopped map[[2]int]int
}

// newNamespaces makes namespaces for some nodes, which needs the superuser and iproute2.
func newNamespaces(nodes int, say func(string, ...any)) (_ *namespaces, err error) {
	s := &namespaces{
		prefix: fmt.Sprintf("netbank-chaos-%d-", os.Getpid()), say: say, stopped: make(map[[2]int]int),
		doors: newLinks(func(_, _ net.Addr) int { return 0 }),
	}
	defer func() {
		if err != nil {
			s.close()
		}
	}()
	hub := s.name(0)
	err = errors.Join(ip("netns add %s", hub), ip("-n %s link add bridge type bridge", hub), ip("-n %s link set bridge up", hub))
	for i := 1; i <= nodes && err == nil; i++ {
		err = s.addNode(hub, i)
	}
	s.delays = run("tc -n %s qdisc add dev bridge root netem delay 0ms", hub) == nil
	return s, err
}

func (s *namespaces) addNode(hub string, node int) error {
	name := s.name(node)
	if err := ip("netns add %s", name); err != nil {
		return err
	}
	f, err := os.Open("/run/netns/" + name)
	if err != nil {
		return fmt.Errorf("chaos: %w", err)
	}
	s.files = append(s.files, f)
	return errors.Join(
		ip("-n %s link set lo up", name), ip("-n %s link add port-%d type veth peer name eth0 netns %s", hub, node, name),
		ip("-n %s link set port-%d master bridge up", hub, node), ip("-n %s addr add %s%d/24 dev eth0", name, subnet, node), ip("-n %s link set eth0 up", name))
}

// name is a node's namespace; 0: that of the bridge.
func (s *namespaces) name(node int) string { return fmt.Sprintf("%s%d", s.prefix, node) }

func ip(format string, args ...any) error { return run("ip "+format, args...) }

// run runs a command of iproute2.
func run(format string, args ...any) error {
	command := fmt.Sprintf(format, args...)
	words := strings.Fields(command)
	if out, err := exec.Command(words[0], words[1:]...).CombinedOutput(); err != nil {
		return fmt.Errorf("chaos: %s: %w: %.200s", command, err, out)
	}
	return nil
}

// enter brings the calling goroutine's thread into a node's namespace. The thread must be locked, and must end with its goroutine.
func (s *namespaces) enter(node int) error {
	if err := unix.Setns(int(s.files[node-1].Fd()), unix.CLONE_NEWNET); err != nil {
		return fmt.Errorf("chaos: enter the namespace of node %d: %w", node, err)
	}
	return nil
}

// inside runs f in a node's namespace. A socket stays in the namespace in which it was made.
func (s *namespaces) inside(node int, f func() error) error {
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // and not unlocked: a thread that has moved ends
		err := s.enter(node)
		if err == nil {
			err = f()
		}
		done <- err
	}()
	return <-done
}

// open lets clients reach a node at an address that it listens on.
func (s *namespaces) open(addr string, node int) error {
	port, err := net.Listen("tcp", addr)
	if err != nil {
		return fmt.Errorf("chaos: %w", err)
	}
	s.doors.pass(port, node, func() (c net.Conn, err error) {
		err = s.inside(node, func() (err error) {
			c, err = net.DialTimeout("tcp", addr, dialTimeout)
			return err
		})
		return c, err
	})
	return nil
}

// offer lets a node reach an address outside.
func (s *namespaces) offer(addr string, node int) error {
	var port net.Listener
	err := s.inside(node, func() (err error) {
		port, err = net.Listen("tcp", addr)
		return err
	})
	if err != nil {
		return fmt.Errorf("chaos: %w", err)
	}
	s.doors.pass(port, node, func() (net.Conn, error) { return net.DialTimeout("tcp", addr, dialTimeout) })
	return nil
}

// address is where the other nodes reach one.
func (s *namespaces) address(node int) string { return fmt.Sprint(subnet, node, ":", peerPort) }

// stop loses what goes from one node to another.
func (s *namespaces) stop(from, to int) (resume func()) {
	s.turn(from, to, 1)
	return func() { s.turn(from, to, -1) }
}

func (s *namespaces) turn(from, to, by int) {
	if from < 1 || to < 1 || from == to {
		return
	}
	s.lock.Lock()
	defer s.lock.Unlock()
	direction := [2]int{from, to}
	before := s.stopped[direction]
	s.stopped[direction] = max(before+by, 0) // healed, and then resumed
	switch after := s.stopped[direction]; {
	case before == 0 && after > 0:
		s.neighbour(from, fmt.Sprintf("replace %s%d lladdr %s nud permanent", subnet, to, nowhere))
	case before > 0 && after == 0:
		s.neighbour(from, fmt.Sprint("del ", subnet, to))
	}
}

func (s *namespaces) neighbour(node int, what string) {
	if err := ip("-n %s neigh %s dev eth0", s.name(node), what); err != nil {
		s.say("            %v", err)
	}
}

// slow makes what goes from and to a node late; 0 ends it.
func (s *namespaces) slow(node int, by time.Duration) {
	late := by.Milliseconds()
	if err := errors.Join(
		run("tc -n %s qdisc replace dev eth0 root netem delay %dms", s.name(node), late),
		run("tc -n %s qdisc replace dev port-%d root netem delay %dms", s.name(0), node, late)); err != nil {
		s.say("            %v", err)
	}
}

// heal lets everything go on at once.
func (s *namespaces) heal() {
	s.lock.Lock()
	stopped := s.stopped
	s.stopped = make(map[[2]int]int)
	s.lock.Unlock()
	for direction, count := range stopped {
		if count > 0 {
			s.neighbour(direction[0], fmt.Sprint("del ", subnet, direction[1]))
		}
	}
	if s.delays {
		for i := range s.files {
			s.slow(i+1, 0)
		}
	}
}

// close ends all connections and the namespaces.
func (s *namespaces) close() {
	s.doors.close()
	for i := range len(s.files) + 1 {
		_ = ip("netns del %s", s.name(i))
	}
	for _, f := range s.files {
		f.Close()
	}
}
