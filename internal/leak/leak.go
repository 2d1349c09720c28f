// Package leak fails tests that leave goroutines behind. It needs the standard library
// alone: what the tests of a package import, go mod tidy fetches for every program that
// embeds the package.
package leak

import (
	"fmt"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"
)

// patience is how long Find waits for a goroutine to end after the last one that did. Only
// a leak takes so long.
const patience = time.Minute

// VerifyTestMain runs the tests, and exits with 1 if they leave a goroutine behind.
func VerifyTestMain(m *testing.M) {
	code := m.Run()
	if err := Find(); err != nil && code == 0 {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

// Find waits for all goroutines but the caller's and the runtime's to end. Its error is the
// stacks of those that do not.
func Find() error { return find(patience) }

func find(patience time.Duration) error {
	least, end := len(others()), time.Now().Add(patience)
	for pause := time.Microsecond; ; pause = min(2*pause, 100*time.Millisecond) {
		left := others()
		switch {
		case len(left) == 0:
			return nil
		case len(left) < least:
			least, end = len(left), time.Now().Add(patience)
		case time.Now().After(end):
			return fmt.Errorf("%d goroutines are left:\n\n%s", len(left), strings.Join(left, "\n\n"))
		}
		time.Sleep(pause)
	}
}

// others returns the stacks of all goroutines but the caller's and those that os/signal and
// testing keep for good.
func others() (stacks []string) {
	b := make([]byte, 64<<10)
	n := runtime.Stack(b, true)
	for n == len(b) {
		b = make([]byte, 2*len(b))
		n = runtime.Stack(b, true)
	}
	all := strings.Split(strings.TrimSpace(string(b[:n])), "\n\n")
	for _, s := range all[1:] { // the first is the caller's
		_, top, _ := strings.Cut(s, "\n")
		switch function, _, _ := strings.Cut(top, "("); {
		case function == "os/signal.signal_recv", function == "os/signal.loop", strings.HasPrefix(top, "testing.(*T).Run("):
			continue
		}
		stacks = append(stacks, s)
	}
	return stacks
}
