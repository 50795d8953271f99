package derive

import (
	"fmt"
	"os"
	"testing"

	"go.uber.org/goleak"
)

// role tells the test binary to be a hashing process, and of what kind.
const role = "NETBANK_TEST_DERIVE"

// TestMain also makes nothing outlive its Process.
func TestMain(m *testing.M) {
	switch os.Getenv(role) {
	case "":
		goleak.VerifyTestMain(m)
	case "serve":
		if err := Serve(os.Stdin, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	case "nonsense":
		fmt.Println("Usage: this is another program, whose words are no answer")
	case "short": // answers a request with a key of no bytes
		number, _, err := readRequest(os.Stdin)
		if err == nil {
			_, _ = os.Stdout.Write(appendAnswer(nil, number, nil))
			_, _ = os.Stdin.Read(make([]byte, 1))
		}
	case "end": // takes a request and ends
		_, _, _ = readRequest(os.Stdin)
	}
}
