//go:build linux

package hub

import (
	"os"
	"testing"

	"github.com/usher-ws/usher/internal/leak"
)

// TestMain fails when a loop or a connection outlives its test.
func TestMain(m *testing.M) {
	if addr := os.Getenv(crowdEnv); addr != "" {
		crowdMain(addr)
		return
	}
	leak.VerifyTestMain(m)
}
