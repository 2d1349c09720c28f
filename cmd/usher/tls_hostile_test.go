//go:build linux

package main_test

import (
	"bytes"
	"crypto/tls"
	"encoding/json"
	"io"
	"net"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	gorilla "github.com/gorilla/websocket"
)

// helloOf returns what a client of crypto/tls says first.
func helloOf(t *testing.T) []byte {
	t.Helper()
	a, b := net.Pipe()
	defer a.Close()
	defer b.Close()
	go tls.Client(a, &tls.Config{ServerName: "localhost"}).Handshake()
	hello := make([]byte, 16<<10)
	n, err := b.Read(hello)
	if err != nil {
		t.Fatal(err)
	}
	return hello[:n]
}

// tlsStats is what /stats says of TLS.
type tlsStats struct {
	Sockets  int `json:"sockets"`
	Buffered int `json:"buffered"`
	TLS      struct {
		Handshakes int            `json:"handshakes"`
		Resumed    int            `json:"resumed"`
		Failed     map[string]int `json:"failed"`
		Faults     map[string]int `json:"faults"`
	} `json:"tls"`
}

func statsOf(t *testing.T, admin string) (st tlsStats) {
	t.Helper()
	_, body := fetchPage(t, admin+"/stats")
	if err := json.Unmarshal([]byte(body), &st); err != nil {
		t.Fatal(err)
	}
	return st
}

// TestHalfHandshakes: 2,000 clients who begin a handshake and go no further keep nobody from
// coming in, and what they take is bounded and given back.
func TestHalfHandshakes(t *testing.T) {
	t.Parallel()
	id := issue(t, t.TempDir(), "server", nil, "localhost")
	p := serveTLS(t, id, "--echo", "/echo", "--admin", "127.0.0.1:0", "--loops", "2", "--handshake-timeout", "0")
	admin := strings.TrimSpace(strings.TrimPrefix(<-p.stdout.await("admin on "), "admin on "))
	join := func() {
		d := gorilla.Dialer{TLSClientConfig: &tls.Config{RootCAs: id.roots}}
		conn, _, err := d.Dial("wss://"+p.addr+"/echo", nil)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if err := conn.WriteMessage(gorilla.TextMessage, []byte("hi")); err != nil {
			t.Fatal(err)
		}
		if _, b, err := conn.ReadMessage(); err != nil || string(b) != "hi" {
			t.Fatalf("got %q, %v", b, err)
		}
	}
	hello := helloOf(t)
	const crowd = 2000
	var all []net.Conn
	for k := range crowd {
		conn, err := net.Dial("tcp", p.addr)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		all = append(all, conn)
		if k%4 == 0 {
			conn.Write(hello[:len(hello)/2])
		} else {
			conn.Write(hello)
		}
		if k%100 == 0 {
			join()
		}
	}
	eventually(t, "all have come", func() bool {
		st := statsOf(t, admin)
		return st.Sockets+st.TLS.Failed["evicted"] >= crowd
	})
	join()
	// 512 handshakes of a loop and the half hellos of the others, and no more.
	if st := statsOf(t, admin); st.Buffered > 2*512*(32<<10)+crowd*len(hello) || st.TLS.Failed["evicted"] < crowd*3/4-2*512 {
		t.Errorf("got %+v", st)
	}
	for _, conn := range all {
		conn.Close()
	}
	eventually(t, "nothing is left", func() bool { st := statsOf(t, admin); return st.Sockets == 0 && st.Buffered == 0 })
}

// TestOneByteAtATime: a client whose handshake comes one byte at a time is ended when its time
// is over, and that is counted.
func TestOneByteAtATime(t *testing.T) {
	t.Parallel()
	id := issue(t, t.TempDir(), "server", nil, "localhost")
	p := serveTLS(t, id, "--admin", "127.0.0.1:0", "--handshake-timeout", "1s")
	admin, hello := strings.TrimSpace(strings.TrimPrefix(<-p.stdout.await("admin on "), "admin on ")), helloOf(t)
	var clients sync.WaitGroup
	for range 20 {
		conn, err := net.Dial("tcp", p.addr)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		ended := make(chan struct{})
		clients.Go(func() {
			io.Copy(io.Discard, conn)
			close(ended)
		})
		clients.Go(func() {
			tick := time.NewTicker(100 * time.Millisecond) // a tenth of its time
			defer tick.Stop()
			for k := range hello {
				if _, err := conn.Write(hello[k : k+1]); err != nil {
					break
				}
				select {
				case <-ended:
					return
				case <-tick.C:
				}
			}
		})
	}
	clients.Wait()
	eventually(t, "they are counted", func() bool { st := statsOf(t, admin); return st.TLS.Failed["timeout"] == 20 && st.Sockets == 0 })
}

// throughProxy connects as from another address, by a PROXY header before the hello.
func throughProxy(addr, header string) func(network, _ string) (net.Conn, error) {
	return func(network, _ string) (net.Conn, error) {
		conn, err := net.Dial(network, addr)
		if err == nil {
			_, err = io.WriteString(conn, header)
		}
		return conn, err
	}
}

// TestSecureProxyProtocol: a PROXY header comes before the hello, and the address in it is the
// client's; without one there is no handshake. Behind --trusted-proxy it is the request that says so.
func TestSecureProxyProtocol(t *testing.T) {
	t.Parallel()
	id := issue(t, t.TempDir(), "server", nil, "localhost")
	p := serveTLS(t, id, "--proxy-protocol", "127.0.0.1", "--trusted-proxy", "203.0.113.0/24", "--access-log", "--echo", "/echo")
	v2 := "\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x0c\xcb\x00\x71\x08\xc0\x00\x02\x01\x12\x67\x01\xbb"
	for header, want := range map[string]string{
		"PROXY TCP4 203.0.113.7 192.0.2.1 4711 443\r\n": "remote=203.0.113.7:4711",
		v2: "remote=203.0.113.8:4711",
	} {
		d := gorilla.Dialer{TLSClientConfig: &tls.Config{RootCAs: id.roots}, NetDial: throughProxy(p.addr, header)}
		conn, _, err := d.Dial("wss://"+p.addr+"/echo", nil)
		if err != nil {
			t.Fatal(err)
		}
		conn.Close()
		eventually(t, "the log has "+want, func() bool { return strings.Contains(p.stderr.String(), want) })
	}
	d := gorilla.Dialer{TLSClientConfig: &tls.Config{RootCAs: id.roots}, NetDial: throughProxy(p.addr, v2)}
	conn, _, err := d.Dial("wss://"+p.addr+"/echo", map[string][]string{"X-Forwarded-For": {"198.51.100.9"}})
	if err != nil {
		t.Fatal(err)
	}
	conn.Close()
	eventually(t, "the log has the client", func() bool { return strings.Contains(p.stderr.String(), "remote=198.51.100.9") })
	if strings.Contains(p.stderr.String(), "remote=127.0.0.1") {
		t.Errorf("the log has the proxy's address:\n%s", p.stderr)
	}
	if _, err := tls.Dial("tcp", p.addr, &tls.Config{RootCAs: id.roots}); err == nil {
		t.Error("a handshake without a header was done")
	}
}

// TestSecureHAProxy: HAProxy passes TLS on as it is, and says by a PROXY header who comes.
func TestSecureHAProxy(t *testing.T) {
	t.Parallel()
	program, err := exec.LookPath("/usr/sbin/haproxy")
	if err != nil {
		missing(t, "haproxy", "not installed; see make deps")
	}
	dir := t.TempDir()
	id := issue(t, dir, "server", nil, "localhost")
	p := serveTLS(t, id, "--proxy-protocol", "127.0.0.1", "--access-log", "--echo", "/echo")
	addr := freeAddr(t)
	file := writeFile(t, filepath.Join(dir, "haproxy.cfg"), "defaults\n mode tcp\n timeout connect 1h\n timeout client 1h\n timeout server 1h\n"+
		"listen tls\n bind "+addr+"\n server usher "+p.addr+" send-proxy-v2\n")
	cmd := exec.Command(program, "-db", "-f", file)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		cmd.Process.Kill()
		cmd.Wait()
	}()
	from := &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 5)}}
	d := gorilla.Dialer{TLSClientConfig: &tls.Config{RootCAs: id.roots}, NetDial: from.Dial}
	eventually(t, "HAProxy passes on", func() bool {
		conn, _, err := d.Dial("wss://"+addr+"/echo", nil)
		if err == nil {
			conn.Close()
		}
		return err == nil
	})
	eventually(t, "the log has the client", func() bool { return strings.Contains(p.stderr.String(), "remote=127.0.0.5:") })
}

// TestSecureResumption: a client of TLS 1.3 that comes again resumes, also after a reload.
func TestSecureResumption(t *testing.T) {
	t.Parallel()
	id := issue(t, t.TempDir(), "server", nil, "localhost")
	p := serveTLS(t, id)
	config := &tls.Config{RootCAs: id.roots, ClientSessionCache: tls.NewLRUClientSessionCache(1)}
	visit := func() bool {
		c, err := tls.Dial("tcp", p.addr, config)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		io.WriteString(c, head(get("/", "Connection: close")...))
		if all, err := io.ReadAll(c); err != nil || !bytes.HasPrefix(all, []byte("HTTP/1.1 200 ")) {
			t.Fatalf("got %.100q, %v", all, err)
		}
		return c.ConnectionState().DidResume
	}
	first, second := visit(), visit()
	p.signal(t, syscall.SIGHUP)
	eventually(t, "it is reloaded", func() bool { return strings.Contains(p.stderr.String(), "the settings were read again") })
	if third := visit(); first || !second || !third {
		t.Errorf("resumed: %t, %t, and after a reload %t", first, second, third)
	}
}
