package upgrade

import (
	"fmt"
	"os"
	"testing"

	"github.com/usher-ws/usher/internal/leak"
)

// TestMain fails a run that leaves a goroutine or, where /proc tells, a file
// descriptor behind.
func TestMain(m *testing.M) {
	before := openFiles()
	code := m.Run()
	if code == 0 {
		if err := leak.Find(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
		// The runtime's poller opens up to three of its own, once.
		if after := openFiles(); after > before+3 {
			fmt.Fprintf(os.Stderr, "%d files open, %d before\n", after, before)
			code = 1
		}
	}
	os.Exit(code)
}

func openFiles() int {
	fds, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return 0
	}
	return len(fds)
}
