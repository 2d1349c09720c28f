//go:build linux

package main

import (
	"bytes"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/usher-ws/usher/hub/nats"
)

// embedded is the value of --cluster for a NATS server in this process.
const embedded = "embedded"

// clusterFlags are what ties this process to others.
type clusterFlags struct {
	Cluster             []string `placeholder:"nats://HOST:PORT|embedded" help:"Be one node of many, through these NATS servers, all of one cluster; or through a NATS server of its own, for which --cluster-listen and --cluster-peers are."`
	Node                string   `placeholder:"NAME" help:"The name of this node, unlike that of any other; the host's with some letters behind it if not given."`
	ClusterListen       string   `placeholder:"HOST:PORT" help:"Where the embedded server listens for those of other nodes."`
	ClusterPeers        []string `placeholder:"HOST:PORT" help:"The --cluster-listen of other nodes. One that is up is enough: it knows the rest."`
	ClusterClientListen string   `placeholder:"HOST:PORT" help:"Where the embedded server listens for NATS clients: backends, and nodes with --cluster nats://."`
	ClusterTokenFile    string   `placeholder:"FILE" help:"A file with the token that nodes and clients show each other, one line of at least 32 bytes; or that the servers of --cluster nats:// want, of whatever length."`
	ClusterCreds        string   `placeholder:"FILE" help:"A credentials file that the servers of --cluster nats:// want."`
	ClusterTLSCert      string   `name:"cluster-tls-cert" placeholder:"FILE" help:"The certificate of this node in PEM. With it all that goes between nodes is TLS, and the embedded server lets in whoever has a certificate by --cluster-tls-ca."`
	ClusterTLSKey       string   `name:"cluster-tls-key" placeholder:"FILE" help:"The private key of --cluster-tls-cert in PEM."`
	ClusterTLSCA        string   `name:"cluster-tls-ca" placeholder:"FILE" help:"What has signed the certificates of the nodes, in PEM."`
}

// isEmbedded reports whether the NATS server is in this process.
func (f *clusterFlags) isEmbedded() bool { return slices.Contains(f.Cluster, embedded) }

// validate returns what is wrong with a value.
func (f *clusterFlags) validate() error {
	if f.Node != "" && !nodeName.MatchString(f.Node) {
		return fmt.Errorf("--node: %q is no name: want 1 to 64 of letters, digits, - and _", f.Node)
	}
	for name, list := range map[string][]string{
		"--cluster-listen": {f.ClusterListen}, "--cluster-client-listen": {f.ClusterClientListen}, "--cluster-peers": f.ClusterPeers,
	} {
		for _, addr := range list {
			if addr != "" && !isAddress(addr) {
				return fmt.Errorf("%s: %q is not an address: want HOST:PORT, like 10.0.0.1:6222", name, addr)
			}
		}
	}
	for _, text := range f.Cluster {
		if err := f.validServer(text); err != nil {
			return err
		}
	}
	if addr := f.farthest(); addr != "" && !f.isClosed() {
		return fmt.Errorf("the cluster at %s is open to whoever can reach it: name a --cluster-token-file, or --cluster-tls-cert, --cluster-tls-key and --cluster-tls-ca, or keep it on 127.0.0.1", addr)
	}
	return nil
}

// nodeName is what names a node, which is a part of subjects.
var nodeName = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)

// fit returns which settings do not go together.
func (f *clusterFlags) fit() error {
	own := map[string]bool{
		"--cluster-listen": f.ClusterListen != "", "--cluster-peers": len(f.ClusterPeers) > 0, "--cluster-client-listen": f.ClusterClientListen != "",
	}
	rest := map[string]bool{
		"--node": f.Node != "", "--cluster-token-file": f.ClusterTokenFile != "", "--cluster-creds": f.ClusterCreds != "",
		"--cluster-tls-cert": f.ClusterTLSCert != "", "--cluster-tls-key": f.ClusterTLSKey != "", "--cluster-tls-ca": f.ClusterTLSCA != "",
	}
	switch {
	case len(f.Cluster) == 0:
		for _, all := range []map[string]bool{own, rest} {
			for name, given := range all {
				if given {
					return fmt.Errorf("%s is for a node of many: name the others by --cluster, or leave it out", name)
				}
			}
		}
		return nil
	case f.isEmbedded() && len(f.Cluster) > 1:
		return errors.New("--cluster: it is either embedded or the addresses of servers")
	case f.isEmbedded() && !own["--cluster-listen"] && !own["--cluster-client-listen"]:
		return errors.New("--cluster embedded listens nowhere: name a --cluster-listen for other nodes, or a --cluster-client-listen")
	case f.isEmbedded() && own["--cluster-peers"] && !own["--cluster-listen"]:
		return errors.New("--cluster-peers needs a --cluster-listen, where they reach this node")
	case f.isEmbedded() && f.ClusterCreds != "":
		return errors.New("--cluster-creds is for --cluster nats://: the embedded server knows a token, or certificates")
	case !f.isEmbedded():
		for name, given := range own {
			if given {
				return fmt.Errorf("%s is for --cluster embedded: leave it out", name)
			}
		}
	}
	switch {
	case f.ClusterTokenFile != "" && f.ClusterCreds != "":
		return errors.New("--cluster-token-file and --cluster-creds are two ways to say the same: give one")
	case (f.ClusterTLSCert == "") != (f.ClusterTLSKey == ""):
		return errors.New("--cluster-tls-cert and --cluster-tls-key are a pair: give both, or none")
	case f.isEmbedded() && (f.ClusterTLSCert == "") != (f.ClusterTLSCA == ""):
		return errors.New("--cluster-tls-cert and --cluster-tls-ca belong together: the nodes know each other by certificates that it has signed")
	}
	return nil
}

// validServer checks a value of --cluster.
func (f *clusterFlags) validServer(text string) error {
	if text == embedded {
		return nil
	}
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Scheme != "nats" && u.Scheme != "tls" || u.Hostname() == "" || u.Path != "" || u.RawQuery != "" || u.Fragment != "":
		return fmt.Errorf("--cluster: %q is no NATS server: want nats://HOST:PORT, tls://HOST:PORT or embedded", masked(text))
	case u.User != nil:
		return errors.New("--cluster: there is a credential in the URL, which others can see: write it into a --cluster-token-file or --cluster-creds")
	}
	return nil
}

// isClosed reports whether not everybody who reaches the servers can take part.
func (f *clusterFlags) isClosed() bool {
	if f.ClusterTokenFile != "" || f.ClusterCreds != "" || f.ClusterTLSCert != "" || f.ClusterTLSCA != "" {
		return true
	}
	return len(f.Cluster) > 0 && !slices.ContainsFunc(f.Cluster, func(text string) bool { return !strings.HasPrefix(text, "tls://") })
}

// farthest returns an address that is not of this host, or can be reached from others; "" if there
// is none.
func (f *clusterFlags) farthest() string {
	all := append([]string{f.ClusterListen, f.ClusterClientListen}, f.ClusterPeers...)
	for _, text := range f.Cluster {
		if u, err := url.Parse(text); err == nil {
			all = append(all, u.Host)
		}
	}
	for _, addr := range all {
		host, _, err := net.SplitHostPort(addr)
		if err != nil {
			host = strings.Trim(addr, "[]") // of a URL, which need not have a port
		}
		if ip := net.ParseIP(host); addr != "" && host != "localhost" && (ip == nil || !ip.IsLoopback()) {
			return addr
		}
	}
	return ""
}

// membership is what a node needs to take part, read from the files that the settings name.
type membership struct {
	node    string
	servers []string // none: there is one in this process
	creds   string
	token   string
	tls     *tls.Config
}

// minToken is the shortest token of an embedded server, in bytes.
const minToken = 32

// read returns what it takes to be a node, nil if this process is alone.
func (f *clusterFlags) read(now time.Time) (m *membership, err error) {
	if err = f.fit(); err != nil {
		return nil, usageError{err}
	}
	if len(f.Cluster) == 0 {
		return nil, nil
	}
	m = &membership{node: f.Node, creds: f.ClusterCreds}
	if !f.isEmbedded() {
		m.servers = f.Cluster
	}
	if m.node == "" {
		m.node = newNodeName()
	}
	if f.ClusterTokenFile != "" {
		if m.token, err = f.readToken(); err != nil {
			return nil, err
		}
	}
	if f.ClusterCreds != "" {
		if _, err = readLines("--cluster-creds", f.ClusterCreds); err != nil {
			return nil, err
		}
		if err = nats.CheckCreds(f.ClusterCreds, now); err != nil {
			return nil, usageError{fmt.Errorf("--cluster-creds: %w", err)}
		}
	}
	m.tls, err = f.readTLS(now)
	return m, err
}

func (f *clusterFlags) readToken() (string, error) {
	text, err := readLines("--cluster-token-file", f.ClusterTokenFile)
	if err != nil {
		return "", err
	}
	token := bytes.TrimRight(text, "\r\n")
	switch {
	case bytes.ContainsAny(token, " \t\r\n"):
		return "", usageError{fmt.Errorf("--cluster-token-file: %s has more in it than one word: want the token alone", f.ClusterTokenFile)}
	case f.isEmbedded() && len(token) < minToken:
		return "", usageError{fmt.Errorf("--cluster-token-file: the token in %s is %d bytes: want %d or more, as of `openssl rand -hex 32`", f.ClusterTokenFile, len(token), minToken)}
	}
	return string(token), nil
}

// readTLS returns how nodes speak TLS with each other and with NATS servers; nil if they do not.
func (f *clusterFlags) readTLS(now time.Time) (*tls.Config, error) {
	if f.ClusterTLSCert == "" && f.ClusterTLSCA == "" {
		return nil, nil
	}
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if f.ClusterTLSCert != "" {
		pair, err := readPair("--cluster-tls-", f.ClusterTLSCert, f.ClusterTLSKey, now)
		if err != nil {
			return nil, usageError{err}
		}
		config.Certificates = []tls.Certificate{pair}
	}
	if f.ClusterTLSCA == "" {
		return config, nil
	}
	text, err := readLines("--cluster-tls-ca", f.ClusterTLSCA)
	if err != nil {
		return nil, usageError{err}
	}
	config.RootCAs = x509.NewCertPool()
	if !config.RootCAs.AppendCertsFromPEM(text) {
		return nil, usageError{fmt.Errorf("--cluster-tls-ca: %s has no certificate in PEM: name the right file", f.ClusterTLSCA)}
	}
	config.ClientCAs, config.ClientAuth = config.RootCAs, tls.RequireAndVerifyClientCert
	return config, nil
}

// newNodeName returns a name that no other node has: the host's, and some letters.
func newNodeName() string {
	host, _ := os.Hostname() // "" will do
	host, _, _ = strings.Cut(host, ".")
	host = strings.Map(func(r rune) rune {
		if nodeName.MatchString(string(r)) {
			return r
		}
		return '-'
	}, host)
	return host[:min(len(host), 40)] + "-" + strings.ToLower(rand.Text()[:8])
}
