//go:build linux

package main

import (
	"fmt"
	"io"
	"runtime"
	"runtime/debug"
)

// versionCmd is usher version.
type versionCmd struct{}

// Run prints what the build recorded about itself.
func (versionCmd) Run(stdout io.Writer) error {
	version := "(unknown)"
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		version = info.Main.Version
	}
	_, err := fmt.Fprintf(stdout, "usher %s %s %s/%s\n", version, runtime.Version(), runtime.GOOS, runtime.GOARCH)
	return err
}
