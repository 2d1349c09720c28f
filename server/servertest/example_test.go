//go:build linux

package servertest_test

import (
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"slices"
	"testing"

	"github.com/usher-ws/usher/frame"
	"github.com/usher-ws/usher/server"
	"github.com/usher-ws/usher/server/servertest"
	"github.com/usher-ws/usher/upgrade"
)

// rooms is what is tested: alice may come, and hears what she says.
func rooms() *server.Server {
	invited := upgrade.Guard{OnRequest: func(r *upgrade.Request) error {
		if r.PathValue("name") != "alice" {
			return upgrade.Reject(403, "not_invited", "You are not on the list.")
		}
		return nil
	}}
	s := new(server.Server)
	s.Route("/party/{name}", server.Route{
		Guards:  []upgrade.Guard{invited},
		Message: func(c server.Conn, m server.Message) error { return c.Send(m.Opcode, m.Data) },
	})
	return s
}

// A test of a route. Here t stands for the *testing.T of a test.
func ExampleNew() {
	t := new(exampleT)
	defer t.end()
	s := servertest.New(t, rooms())

	_, err := s.Dial("/party/mallory", servertest.Options{})
	var refused *servertest.Refusal
	if errors.As(err, &refused) {
		fmt.Println("mallory:", refused.StatusCode)
	}
	alice, err := s.Dial("/party/alice", servertest.Options{})
	if err != nil {
		t.Fatalf("alice: %v", err)
	}
	if err := alice.WriteMessage(frame.OpText, []byte("hello")); err != nil {
		t.Fatalf("alice: %v", err)
	}
	_, said, err := alice.ReadMessage()
	fmt.Printf("alice: %s, %v\n", said, err)
	fmt.Println(alice.Close(frame.StatusNormalClosure, ""))
	// Output:
	// mallory: 403
	// alice: hello, <nil>
	// <nil>
}

// exampleT is a test for examples, which have none.
type exampleT struct {
	testing.TB
	ending []func()
}

func (*exampleT) Helper()                           {}
func (*exampleT) Output() io.Writer                 { return os.Stderr }
func (*exampleT) Errorf(format string, args ...any) { log.Printf(format, args...) }
func (*exampleT) Fatalf(format string, args ...any) { log.Fatalf(format, args...) }
func (t *exampleT) Cleanup(f func())                { t.ending = append(t.ending, f) }

// end does what is to be done at the end, the last first.
func (t *exampleT) end() {
	for _, f := range slices.Backward(t.ending) {
		f()
	}
}
