//go:build linux

package bench

import (
	"fmt"
	"os"
	"testing"

	"go.uber.org/goleak"
)

// workerArg makes the test program a worker.
const workerArg = "be-a-worker"

// TestMain fails a run that leaves a goroutine or a descriptor behind. It is also
// the way into the further processes: workers, and servers whose memory counts.
func TestMain(m *testing.M) {
	if len(os.Args) == 2 && os.Args[1] == workerArg {
		if err := ServeWorker(os.Stdin, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	if len(os.Args) == 4 && os.Args[1] == serverArg {
		fmt.Fprintln(os.Stderr, serveKeeping(os.Args[2], os.Args[3]))
		os.Exit(1)
	}
	before := openFiles()
	code := m.Run()
	if code == 0 {
		if err := goleak.Find(); err != nil {
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
