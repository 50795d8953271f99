package lab

import (
	"fmt"
	"io"
	"os"
	"path/filepath"

	"netbank/bench/demo"
	"netbank/cmd/internal/bank"
)

// Reset removes a demo bank's data, so that the next start begins anew. It refuses a folder that does not look like one.
func Reset(dir string, dry bool, w io.Writer) error {
	if _, err := os.Stat(filepath.Join(dir, demo.Name)); err != nil {
		return &bank.Error{Code: bank.ExitDirectory, Err: fmt.Errorf("%s holds no %s, so it is not a demo bank's data directory; nothing was removed", dir, demo.Name)}
	}
	files, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("lab: %w", err)
	}
	for _, f := range files {
		if filepath.Ext(f.Name()) == ".pid" && running(filepath.Join(dir, f.Name())) {
			return &bank.Error{Code: bank.ExitDirectory, Err: fmt.Errorf("the demo bank in %s is running (%s); stop it first", dir, f.Name())}
		}
	}
	if dry {
		fmt.Fprintf(w, "would remove %s; nothing was changed\n", dir)
		return nil
	}
	if err := os.RemoveAll(dir); err != nil {
		return fmt.Errorf("lab: %w", err)
	}
	fmt.Fprintf(w, "removed %s\n", dir)
	return nil
}
