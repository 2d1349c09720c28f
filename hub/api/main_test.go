//go:build linux

package api

import (
	"testing"

	"github.com/usher-ws/usher/internal/leak"
)

func TestMain(m *testing.M) { leak.VerifyTestMain(m) }
