//go:build linux

package poller_test

import (
	"fmt"
	"log"
	"time"

	"github.com/usher-ws/usher/poller"
	"golang.org/x/sys/unix"
)

// upper answers each connection in capitals.
type upper struct {
	loop *poller.Loop
	buf  [512]byte
}

func (u *upper) Ready(data uint64, ev poller.Event) {
	fd := int(data)
	n, errno := poller.Recv(fd, u.buf[:])
	if errno == unix.EAGAIN {
		return
	}
	if n <= 0 {
		u.loop.Remove(fd)
		unix.Close(fd)
		return
	}
	for i, c := range u.buf[:n] {
		if 'a' <= c && c <= 'z' {
			u.buf[i] = c - 'a' + 'A'
		}
	}
	poller.Send(fd, u.buf[:n])
}

func (u *upper) Wake()            {}
func (u *upper) Timer()           {}
func (u *upper) After()           {}
func (u *upper) Failed(err error) { log.Print(err) }

func ExampleLoop() {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM, 0)
	if err != nil {
		log.Fatal(err)
	}
	mine, theirs := pair[0], pair[1]
	defer unix.Close(mine)

	u := &upper{}
	if u.loop, err = poller.New(u, time.Now()); err != nil {
		log.Fatal(err)
	}
	if err := u.loop.Start(); err != nil {
		log.Fatal(err)
	}
	defer u.loop.Close()
	u.loop.Post(func() { u.loop.Add(theirs, uint64(theirs), poller.Readable) })

	unix.Write(mine, []byte("hello"))
	answer := make([]byte, 5)
	unix.Read(mine, answer)
	fmt.Printf("%s\n", answer)
	unix.Shutdown(mine, unix.SHUT_WR)
	unix.Read(mine, answer) // the loop has closed its side
	// Output: HELLO
}
