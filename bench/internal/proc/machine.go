//go:build linux

package proc

import (
	"fmt"
	"os"
	"runtime"
	"strings"

	"golang.org/x/sys/unix"
)

// Machine says on what something was measured: processor, number of cores,
// memory and kernel, in one line.
func Machine() string {
	model := runtime.GOARCH
	if b, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		for line := range strings.Lines(string(b)) {
			if name, value, found := strings.Cut(line, ":"); found && strings.TrimSpace(name) == "model name" {
				model = strings.TrimSpace(value)
				break
			}
		}
	}
	var memory int64
	if b, err := os.ReadFile("/proc/meminfo"); err == nil {
		memory = field(b, "MemTotal") >> 20
	}
	kernel := "Linux"
	var u unix.Utsname
	if err := unix.Uname(&u); err == nil {
		kernel += " " + unix.ByteSliceToString(u.Release[:])
	}
	return fmt.Sprintf("%s, %d cores, %d GiB, %s, %s", model, runtime.NumCPU(), memory, kernel, runtime.Version())
}
