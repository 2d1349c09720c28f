package upgrade

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"testing"
)

// TestRecord: an Answer is what net/http sends of the same handler.
func TestRecord(t *testing.T) {
	t.Parallel()
	for name, h := range map[string]http.HandlerFunc{
		"nothing": func(http.ResponseWriter, *http.Request) {},
		"page": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/html")
			w.Header().Add("Vary", "Accept")
			w.Header().Add("Vary", "Origin")
			_, _ = io.WriteString(w, "<p>")
			w.Header().Set("Too", "late")
			_, _ = io.WriteString(w, "page")
		},
		"no content": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) },
		"odd status": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/plain")
			w.WriteHeader(299)
			_, _ = io.WriteString(w, "x")
		},
		"refusal": Reject(http.StatusNotFound, CodeNotFound, "Nothing.").WithHeader("Vary", "Origin").ServeHTTP,
	} {
		s := httptest.NewUnstartedServer(h)
		s.Config.SetKeepAlivesEnabled(false)
		s.Start()
		defer s.Close()
		for _, method := range []string{http.MethodGet, http.MethodHead} {
			req, _ := http.NewRequest(method, s.URL+"/", nil)
			want, err := s.Client().Do(req)
			if err != nil {
				t.Fatal(err)
			}
			wantBody, _ := io.ReadAll(want.Body)
			want.Body.Close()

			req, _ = http.NewRequest(http.MethodGet, "/", nil)
			a := Record(h, req)
			for _, version := range []string{"1.0", "1.1"} {
				r := new(Request)
				if err := openDoor.Parse(fmt.Appendf(nil, "%s / HTTP/%s\r\nHost: h\r\n\r\n", method, version), r); err != nil {
					t.Fatal(err)
				}
				br := bufio.NewReader(bytes.NewReader(a.AppendTo([]byte(nil), r, testNow)))
				got, err := http.ReadResponse(br, &http.Request{Method: method})
				if err != nil {
					t.Fatal(err)
				}
				body, err := io.ReadAll(got.Body)
				if err != nil || br.Buffered() > 0 || got.Header.Get("Date") != testNow.UTC().Format(http.TimeFormat) || !got.Close || got.Proto != "HTTP/"+version {
					t.Errorf("%s, %s %s: %v, %v, %d bytes more", name, method, version, got, err, br.Buffered())
				}
				for _, name := range []string{"Date", "Connection"} {
					got.Header.Del(name)
					want.Header.Del(name)
				}
				if method == http.MethodHead && want.ContentLength < 0 { // for HEAD net/http leaves a length out that nobody has set
					got.ContentLength = want.ContentLength
					got.Header.Del("Content-Length")
				}
				if got.StatusCode != want.StatusCode || got.ContentLength != want.ContentLength || !bytes.Equal(body, wantBody) || !maps.EqualFunc(got.Header, want.Header, func(a, b []string) bool { return fmt.Sprint(a) == fmt.Sprint(b) }) {
					t.Errorf("%s, %s: got %d %v %d %q, want %d %v %d %q", name, method, got.StatusCode, got.Header, got.ContentLength, body, want.StatusCode, want.Header, want.ContentLength, wantBody)
				}
			}
		}
	}
	defer func() {
		if recover() == nil {
			t.Error("an informational answer was kept")
		}
	}()
	req, _ := http.NewRequest(http.MethodGet, "/", nil)
	Record(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(103) }), req)
}

func TestBodyLength(t *testing.T) {
	t.Parallel()
	for lines, want := range map[string]int64{
		"": 0, "Content-Length: 0\r\n": 0, "Content-Length: 123\r\n": 123, "Transfer-Encoding: chunked\r\n": -1,
		"content-length: 99999999999\r\n": 99999999999,
	} {
		r := new(Request)
		if err := openDoor.Parse([]byte("POST / HTTP/1.1\r\nHost: h\r\n"+lines+"\r\n"), r); err != nil {
			t.Fatal(err)
		}
		if got := r.BodyLength(); got != want {
			t.Errorf("%q: got %d, want %d", lines, got, want)
		}
	}
}
