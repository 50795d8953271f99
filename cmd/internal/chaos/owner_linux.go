package chaos

import (
	"bufio"
	"bytes"
	"fmt"
	"net"
	"os"
	"strings"
)

// ownerOf tells which of some processes has a TCP connection of this machine's loopback, by the inode that the kernel lists for it. 0: none.
func ownerOf(client, server net.Addr, pids []int) int {
	local, ok1 := client.(*net.TCPAddr)
	remote, ok2 := server.(*net.TCPAddr)
	if !ok1 || !ok2 {
		return 0
	}
	inode := inodeOf(fmt.Sprintf(":%04X", local.Port), fmt.Sprintf(":%04X", remote.Port))
	if inode == "" {
		return 0
	}
	socket := "socket:[" + inode + "]"
	for _, pid := range pids {
		dir := fmt.Sprintf("/proc/%d/fd/", pid)
		entries, err := os.ReadDir(dir)
		if err != nil {
			continue // it has ended
		}
		for _, e := range entries {
			if at, err := os.Readlink(dir + e.Name()); err == nil && at == socket {
				return pid
			}
		}
	}
	return 0
}

// inodeOf finds the socket with two ports in /proc/net/tcp (proc_pid_net(5)): sl, local, remote, st, queues, timer, retransmits, uid,
// time-out, inode.
func inodeOf(local, remote string) string {
	text, err := os.ReadFile("/proc/net/tcp")
	if err != nil {
		return ""
	}
	for lines := bufio.NewScanner(bytes.NewReader(text)); lines.Scan(); {
		f := strings.Fields(lines.Text())
		if len(f) > 9 && strings.HasSuffix(f[1], local) && strings.HasSuffix(f[2], remote) {
			return f[9]
		}
	}
	return ""
}
