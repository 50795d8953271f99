package replica

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"netbank/cluster/journal"
)

// Whose tells whose data directory it is, without opening it: node 0 for one that nobody has used yet, and an empty cluster for that of
// a node alone that never had a cluster id. The error is ErrUnwritable or ErrDamaged.
func Whose(dir string) (node journal.NodeID, cluster string, err error) {
	name := filepath.Join(dir, versionName)
	text, err := readSmall(name, versionBytes)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, "", nil
	}
	if err != nil {
		return 0, "", unwritable(dir, err)
	}
	_, id, err := parseVersion(string(text))
	if err != nil {
		return 0, "", fmt.Errorf("%w: %s: %w; %s", ErrDamaged, name, err, remedy)
	}
	return id.node, id.cluster, nil
}
