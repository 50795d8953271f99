package bank

import "testing"

func TestEverythingIsBounded_OpenFilesAreKeptForTheOperator(t *testing.T) {
	f := func(files uint64, customers, partners int) {
		t.Helper()
		c, p := shareFiles(files, 20_000)
		if c != customers || p != partners {
			t.Errorf("of %d files customers get %d and partners %d, want %d and %d", files, c, p, customers, partners)
		}
		if own := files - uint64(c) - uint64(p); own < min(files/2, ownFilesMax) {
			t.Errorf("of %d files %d are left", files, own)
		}
	}
	f(1<<20, 20_000, 20_000)
	f(20_000, 15_708, 2_244)
	f(1_024, 448, 64)
	f(256, 112, 16)
	f(1<<63, 20_000, 20_000)
}
