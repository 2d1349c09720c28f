// The command nfpm makes a Debian package of what a file of nfpm describes:
//
//	nfpm FILE.yaml TARGET.deb
//
// It is github.com/goreleaser/nfpm without its other formats, which need modules that are
// not to be had everywhere.
package main

import (
	"fmt"
	"os"

	"github.com/goreleaser/nfpm/v2"
	_ "github.com/goreleaser/nfpm/v2/deb"
)

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: nfpm FILE.yaml TARGET.deb")
		os.Exit(2)
	}
	if err := build(os.Args[1], os.Args[2]); err != nil {
		fmt.Fprintln(os.Stderr, "nfpm:", err)
		os.Exit(1)
	}
}

func build(config, target string) error {
	c, err := nfpm.ParseFile(config)
	if err != nil {
		return err
	}
	info, err := c.Get("deb")
	if err != nil {
		return err
	}
	info = nfpm.WithDefaults(info)
	if err := nfpm.PrepareForPackager(info, "deb"); err != nil {
		return err
	}
	deb, err := nfpm.Get("deb")
	if err != nil {
		return err
	}
	f, err := os.Create(target)
	if err != nil {
		return err
	}
	defer f.Close()
	info.Target = target
	if err := deb.Package(info, f); err != nil {
		_ = os.Remove(target)
		return err
	}
	return f.Close()
}
