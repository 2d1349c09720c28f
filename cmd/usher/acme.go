//go:build linux

package main

import (
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// acmeFlags are the domains whose certificates are got from a CA, by RFC 8555.
type acmeFlags struct {
	ACME       []string `name:"acme" placeholder:"DOMAIN" help:"Get certificates for these domains from --acme-server, for --listen tls://, and renew them in time. The server is asked back for that on port 443 of each. With this flag you agree to the terms of service of --acme-server."`
	ACMEDir    string   `name:"acme-dir" placeholder:"DIR" help:"Where the certificates of --acme are kept, with their keys. It is made if need be; several servers of the same domains may share it."`
	ACMEServer string   `name:"acme-server" default:"https://acme-v02.api.letsencrypt.org/directory" placeholder:"URL" help:"The directory of a CA that speaks ACME; Let's Encrypt's if not given."`
}

// validate returns what is wrong with a value.
func (f *acmeFlags) validate() error {
	for _, name := range f.ACME {
		if !isDomain(name) {
			return fmt.Errorf("--acme: %q is no domain that a certificate can be got for: want a full name like chat.example.com, in ASCII, and neither an address nor a wildcard", name)
		}
	}
	if u, err := url.Parse(f.ACMEServer); err != nil || u.Scheme != "https" || u.Host == "" || u.User != nil || u.Fragment != "" {
		return fmt.Errorf("--acme-server: %q is no directory of a CA: want a URL like https://ca.example/directory", masked(f.ACMEServer))
	}
	return nil
}

// isDomain reports whether name is one that a CA may sign for: of two labels at least, and not
// an address.
func isDomain(name string) bool {
	labels := strings.Split(name, ".")
	for _, l := range labels {
		if l == "" || len(l) > 63 || l[0] == '-' || l[len(l)-1] == '-' || strings.Trim(l, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-") != "" {
			return false
		}
	}
	return len(labels) > 1 && len(name) <= 253 && strings.Trim(labels[len(labels)-1], "0123456789") != ""
}

// checkDir returns what keeps certificates from being kept in --acme-dir. It makes nothing:
// usher check may run as another user than the server, which could not write there then.
func (f *acmeFlags) checkDir() error {
	dir := filepath.Clean(f.ACMEDir)
	info, err := os.Stat(dir)
	if err == nil && info.Mode().Perm()&0o022 != 0 {
		return fmt.Errorf("--acme-dir: others can write in %s, too: chmod 700 it, or name a directory in it that need not be there yet", dir)
	}
	for errors.Is(err, fs.ErrNotExist) && filepath.Dir(dir) != dir {
		dir = filepath.Dir(dir)
		info, err = os.Stat(dir)
	}
	switch {
	case err != nil:
		return fmt.Errorf("--acme-dir: %w; name a directory that can be written", err)
	case !info.IsDir():
		return fmt.Errorf("--acme-dir: %s is no directory: name one", dir)
	}
	if err := unix.Faccessat(unix.AT_FDCWD, dir, unix.W_OK|unix.X_OK, unix.AT_EACCESS); err != nil {
		return fmt.Errorf("--acme-dir: nothing can be written in %s (%w): name another directory, or mend that", dir, err)
	}
	return nil
}
