//go:build linux

package proc

import (
	"net"
	"os"
	"testing"
	"time"
)

// TestListeners: we listen, so we are found; and no longer when we do not.
func TestListeners(t *testing.T) {
	ln, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := uint16(ln.Addr().(*net.TCPAddr).Port)
	if got := Listeners([]uint16{port}); len(got) != 1 || got[0] != os.Getpid() {
		t.Errorf("got %v, want [%d]", got, os.Getpid())
	}
	ln.Close()
	if got := Listeners([]uint16{port}); len(got) != 0 {
		t.Errorf("after Close: got %v, want nobody", got)
	}
}

// TestRead: what we use ourselves is there, and what we use more is seen.
func TestRead(t *testing.T) {
	pids := []int{os.Getpid()}
	before, err := Read(pids)
	if err != nil {
		t.Fatal(err)
	}
	if before.RSS < 1<<20 || before.PSS <= 0 || before.PSS > before.RSS || before.Anon <= 0 || before.FDs < 3 || before.Threads < 1 {
		t.Errorf("got %+v", before)
	}
	f, err := os.Open("/dev/null")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	block := make([]byte, 32<<20)
	for i := range block {
		block[i] = byte(i)
	}
	for begin := time.Now(); time.Since(begin) < 50*time.Millisecond; { // five ticks
		block[1] += block[0]
	}
	after, err := Read(pids)
	if err != nil {
		t.Fatal(err)
	}
	if after.RSS-before.RSS < 30<<20 || after.FDs != before.FDs+1 || after.CPU <= before.CPU {
		t.Errorf("after 32 MiB, one file and 50 ms: got %+v, before %+v", after, before)
	}
	if got := Threads(pids); len(got.Used) < after.Threads/2 || len(got.Used) == 0 {
		t.Errorf("threads: got %v, want about %d", got, after.Threads)
	}
	if got := Processors(os.Getpid()); got < 1 {
		t.Errorf("processors: got %d", got)
	}
	if _, err := Read([]int{1 << 30}); err == nil {
		t.Error("a process that is not: got no error")
	}
}

func TestCountList(t *testing.T) {
	for list, want := range map[string]int{"0": 1, "0-3": 4, "0-1,4,6-7": 5, "": 0, "x": 0} {
		if got := countList(list); got != want {
			t.Errorf("%q: got %d, want %d", list, got, want)
		}
	}
}

func TestMachine(t *testing.T) {
	if got := Machine(); got == "" || ReadKernel().Slab == 0 {
		t.Errorf("got %q, %+v", got, ReadKernel())
	}
}
