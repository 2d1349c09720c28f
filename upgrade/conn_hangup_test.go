package upgrade

import (
	"slices"
	"strings"
	"testing"
)

// TestMessageOutlivesClose: a message is still what it was while another goroutine closes,
// and hears more.
func TestMessageOutlivesClose(t *testing.T) {
	t.Parallel()
	for role, client := range roles {
		for _, size := range []int{10, 3000, 30_000} {
			one := len(frames(client, strings.Repeat("a", size)))
			for _, step := range []int{one, one * 3 / 2, 1 << 20} {
				for nth := range 3 {
					var all []string
					for i := range 6 {
						all = append(all, strings.Repeat(string(rune('a'+i)), size))
					}
					c := newConn(&script{in: frames(client, all...), step: step}, client, nil)
					var got []byte
					for range nth + 1 {
						_, got, _ = c.ReadMessage()
					}
					same := make(chan bool)
					go func() { same <- string(got) == all[nth] }()
					_ = c.Close(0, "")
					if !<-same || string(got) != all[nth] {
						t.Errorf("%s: message %d of %d bytes in steps of %d: overwritten", role, nth, size, step)
					}
				}
			}
		}
	}
}

// diary is a script that notes how it ends.
type diary struct {
	script
	notes []string
}

func (d *diary) Read(b []byte) (int, error) {
	n, err := d.script.Read(b)
	if err != nil {
		d.notes = append(d.notes, "EOF")
	}
	return n, err
}

func (d *diary) Close() error { d.notes = append(d.notes, "closed"); return nil }

// fin is a diary that can say FIN.
type fin struct{ diary }

func (f *fin) CloseWrite() error { f.notes = append(f.notes, "FIN"); return nil }

// TestHangUp: the server says FIN and reads to the end, the client waits for the server;
// where there is no FIN it takes a closing handshake to close at once.
func TestHangUp(t *testing.T) {
	t.Parallel()
	const bad = "\xff and more"
	bye := map[bool]string{false: "\x88\x80abcd", true: "\x88\x00"}
	for _, test := range []struct {
		client bool
		in     string
		fin    string // how it ends where there is one
		none   string // and where not
	}{
		{false, bye[false], "FIN EOF closed", "closed"},
		{false, bad, "FIN EOF closed", "EOF closed"},
		{false, "", "EOF FIN EOF closed", "EOF closed"},
		{true, bye[true], "EOF closed", "EOF closed"},
		{true, bad, "FIN EOF closed", "EOF closed"},
		{true, "", "EOF FIN EOF closed", "EOF closed"},
	} {
		with, without := &fin{diary{script: script{in: []byte(test.in), step: 6}}}, &diary{script: script{in: []byte(test.in), step: 6}}
		_ = newConn(with, test.client, nil).Close(0, "")
		_ = newConn(without, test.client, nil).Close(0, "")
		for _, d := range []struct {
			got  []string
			want string
		}{{with.notes, test.fin}, {without.notes, test.none}} {
			if got := strings.Join(slices.Compact(d.got), " "); got != d.want {
				t.Errorf("client %t, %q: %s, want %s", test.client, test.in, got, d.want)
			}
		}
	}
}
