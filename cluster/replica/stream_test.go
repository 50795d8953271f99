package replica

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// writeSnapshot makes the files of a snapshot in a new directory, and gives them with their sums.
func writeSnapshot(t testing.TB, contents map[string]string) (dir string, files []file) {
	t.Helper()
	dir = t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, pebbleName), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{liveName, "pebble/000004.sst", "pebble/MANIFEST-000001", "pebble/empty"} {
		text, ok := contents[name]
		if !ok {
			continue
		}
		if err := os.WriteFile(filepath.Join(dir, filepath.FromSlash(name)), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		f := file{Name: name, Size: int64(len(text))}
		var err error
		if f.CRC, err = sumFile(dir, f); err != nil {
			t.Fatal(err)
		}
		files = append(files, f)
	}
	return dir, files
}

func streamOf(t testing.TB, contents map[string]string) []byte {
	t.Helper()
	dir, files := writeSnapshot(t, contents)
	r := newStreamReader(dir, files)
	defer r.Close()
	stream, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	if int64(len(stream)) != streamSize(files) {
		t.Fatalf("the stream has %d bytes, the manifest promises %d", len(stream), streamSize(files))
	}
	return stream
}

var sample = map[string]string{liveName: "the live set", "pebble/000004.sst": strings.Repeat("table", 4), "pebble/MANIFEST-000001": "versions", "pebble/empty": ""}

func TestASnapshotStreamGivesTheSameFiles(t *testing.T) {
	dir := t.TempDir()
	files, err := readStream(smallPieces{bytes.NewReader(streamOf(t, sample))}, dir, notDurable)
	if err != nil {
		t.Fatal(err)
	}
	if len(files) != len(sample) {
		t.Fatalf("%d files, want %d", len(files), len(sample))
	}
	for _, f := range files {
		text, err := os.ReadFile(filepath.Join(dir, filepath.FromSlash(f.Name)))
		if err != nil || string(text) != sample[f.Name] {
			t.Errorf("%s: %q, %v", f.Name, text, err)
		}
	}
}

func notDurable(*os.File) error { return nil }

// smallPieces gives the stream in small pieces.
type smallPieces struct{ r io.Reader }

func (r smallPieces) Read(p []byte) (int, error) { return r.r.Read(p[:min(len(p), 3)]) }

func TestADamagedSnapshotStreamIsRefused(t *testing.T) {
	stream := streamOf(t, sample)
	f := func(what string, damaged []byte) {
		t.Helper()
		if _, err := readStream(bytes.NewReader(damaged), t.TempDir(), notDurable); err == nil {
			t.Errorf("%s: taken", what)
		}
	}
	for at := range stream {
		damaged := bytes.Clone(stream)
		damaged[at] ^= 0x40
		f("one bit", damaged)
	}
	for at := range stream {
		f("cut off", stream[:at])
	}
	f("something behind the end", append(bytes.Clone(stream), 0))
}

func TestASnapshotStreamNamesOnlyFilesOfASnapshot(t *testing.T) {
	f := func(name string, want bool) {
		t.Helper()
		if err := checkName(name); (err == nil) != want {
			t.Errorf("%q: %v", name, err)
		}
	}
	f("live", true)
	f("pebble/000004.sst", true)
	f("pebble/marker.manifest.000001.MANIFEST-000001", true)
	f("", false)
	f("manifest", false)
	f("pebble/", false)
	f("pebble/..", false)
	f("pebble/.hidden", false)
	f("pebble/a/b", false)
	f(`pebble\a`, false)
	f("pebble/../../LOCK", false)
	f("../live", false)
	f("/etc/passwd", false)
	f("pebble/a\x00b", false)
	f("pebble/"+strings.Repeat("a", snapshotNameMax), false)
}

func TestASnapshotStreamTellsWhenTheDiskHasSpoiltAFile(t *testing.T) {
	dir, files := writeSnapshot(t, sample)
	if err := os.WriteFile(filepath.Join(dir, "pebble", "000004.sst"), []byte(strings.Repeat("tab1e", 4)), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := readStream(newStreamReader(dir, files), t.TempDir(), notDurable); !errors.Is(err, errStream) {
		t.Fatalf("%v, want %v", err, errStream)
	}
}

func FuzzSnapshotStream(f *testing.F) {
	f.Add(streamOf(f, sample))
	f.Add(streamOf(f, map[string]string{liveName: ""}))
	f.Add([]byte(streamMagic))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, stream []byte) {
		dir := t.TempDir()
		files, err := readStream(bytes.NewReader(stream), dir, notDurable)
		if err != nil {
			return
		}
		// What was taken is whole: written again, it gives the same bytes.
		again, err := io.ReadAll(newStreamReader(dir, files))
		if err != nil || !bytes.Equal(again, stream) {
			t.Fatalf("%v; %d bytes became %d", err, len(stream), len(again))
		}
	})
}

func FuzzSnapshotManifest(f *testing.F) {
	good, err := manifest{Format: Format, Files: []file{{Name: liveName, Size: 1, CRC: 2}}}.encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add([]byte("00000000\n"))
	f.Add([]byte("{}"))
	f.Fuzz(func(t *testing.T, text []byte) {
		m, err := parseManifest("", text)
		if err != nil {
			return
		}
		for _, file := range m.Files {
			if err := checkName(file.Name); err != nil {
				t.Fatal(err)
			}
		}
	})
}
