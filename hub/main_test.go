//go:build linux

package hub

import (
	"os"
	"testing"

	"go.uber.org/goleak"
)

// TestMain fails when a loop or a connection outlives its test.
func TestMain(m *testing.M) {
	if addr := os.Getenv(crowdEnv); addr != "" {
		crowdMain(addr)
		return
	}
	goleak.VerifyTestMain(m)
}
