//go:build linux

package hub

import (
	"testing"

	"go.uber.org/goleak"
)

// TestMain fails when a loop or a connection outlives its test.
func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }
