package lab

import (
	"os"
	"strings"
	"time"
)

// WrongClock is a clock that is off by what a file says, such as 8s or -8s, read at each look; without the file it is right.
func WrongClock(file string) func() time.Time {
	return func() time.Time {
		text, err := os.ReadFile(file)
		if err != nil {
			return time.Now()
		}
		off, err := time.ParseDuration(strings.TrimSpace(string(text)))
		if err != nil {
			return time.Now()
		}
		return time.Now().Add(off)
	}
}
