package stream

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"testing"
)

// TestGeneratedCodeIsFresh makes the code of stream.proto anew and compares. Continuous integration must have
// protoc; a reader's machine need not.
func TestGeneratedCodeIsFresh(t *testing.T) {
	if _, err := exec.LookPath("protoc"); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal("protoc is needed to see whether the generated code is fresh: apt-get install protobuf-compiler")
		}
		t.Skip("protoc is not on this machine (Debian: protobuf-compiler), so nobody looks whether the generated code is fresh")
	}
	out := t.TempDir()
	if said, err := exec.Command("wire/generate.sh", out).CombinedOutput(); err != nil {
		t.Fatalf("generate.sh: %v\n%s", err, said)
	}
	// The comment that names the version of protoc is the only thing that may differ.
	version := regexp.MustCompile(`(?m)^// \s*protoc +v.*$`)
	for _, name := range []string{"stream.pb.go", "stream_vtproto.pb.go"} {
		f := func(folder string) []byte {
			b, err := os.ReadFile(filepath.Join(folder, name))
			if err != nil {
				t.Fatal(err)
			}
			return version.ReplaceAll(b, nil)
		}
		if !bytes.Equal(f(out), f("wire")) {
			t.Errorf("wire/%s is not what stream.proto gives: run `make generate`", name)
		}
	}
}
