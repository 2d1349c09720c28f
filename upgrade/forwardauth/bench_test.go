package forwardauth

import (
	"context"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"testing"

	"github.com/usher-ws/usher/upgrade"
)

// BenchmarkAuthorize is what a question to a service on this machine takes, and what one takes
// whose verdict is remembered.
func BenchmarkAuthorize(b *testing.B) {
	for name, control := range map[string]string{"asked": "no-store", "remembered": "max-age=3600"} {
		b.Run(name, func(b *testing.B) {
			web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Cache-Control", control)
				w.Header().Set("X-Usher-Sub", "alice")
			}))
			defer web.Close()
			s, err := New(web.URL)
			if err != nil {
				b.Fatal(err)
			}
			defer s.Close()
			r := new(upgrade.Request)
			if err := new(upgrade.Upgrader).Parse([]byte("GET /ws/lobby HTTP/1.1\r\nHost: h\r\nCookie: session=0123456789abcdef0123456789abcdef\r\n\r\n"), r); err != nil {
				b.Fatal(err)
			}
			r.RemoteAddr = netip.MustParseAddrPort("192.0.2.1:4711")
			for b.Loop() {
				r.Identity = nil
				if err := s.Authorize(context.Background(), r); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
