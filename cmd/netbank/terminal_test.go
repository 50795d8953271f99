package main

import (
	"os"
	"testing"
)

// A script's standard input is a character device as a terminal is, and has nobody to say yes.
func TestNobodySitsAtDevNull(t *testing.T) {
	null, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	if openTerminal(null).person {
		t.Errorf("somebody is asked at %s", os.DevNull)
	}
}
