package repository

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestGeneratedCodeIsFresh makes the code of every *.proto anew and compares. Continuous integration must have protoc; a reader's
// machine need not.
func TestGeneratedCodeIsFresh(t *testing.T) {
	if _, err := exec.LookPath("protoc"); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal("protoc is needed to see whether the generated code is fresh: apt-get install protobuf-compiler")
		}
		t.Skip("protoc is not on this machine (Debian: protobuf-compiler), so nobody looks whether the generated code is fresh")
	}
	protos, err := filepath.Glob(root + "/cluster/*/*/*.proto")
	if err != nil || len(protos) < 2 {
		t.Fatalf("the journal's and the stream's protocol buffers were not found: %v, %v", protos, err)
	}
	// The comment that names the version of protoc is the only thing that may differ.
	version := regexp.MustCompile(`(?m)^// \s*protoc +v.*$`)
	for _, proto := range protos {
		out := t.TempDir()
		generate := exec.Command(".ci/generate", strings.TrimPrefix(proto, root+"/"), out)
		generate.Dir = root
		if said, err := generate.CombinedOutput(); err != nil {
			t.Fatalf("%v: %v\n%s", generate, err, said)
		}
		made, err := filepath.Glob(out + "/*.go")
		if err != nil || len(made) != 2 {
			t.Fatalf("%v made %v, %v", generate, made, err)
		}
		for _, file := range made {
			kept := filepath.Join(filepath.Dir(proto), filepath.Base(file))
			read := func(path string) []byte {
				b, err := os.ReadFile(path)
				if err != nil {
					t.Fatal(err)
				}
				return version.ReplaceAll(b, nil)
			}
			if !bytes.Equal(read(file), read(kept)) {
				t.Errorf("%s is not what %s gives: run `make generate`", strings.TrimPrefix(kept, root+"/"), filepath.Base(proto))
			}
		}
	}
}
