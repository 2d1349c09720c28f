// Gnet echoes with github.com/panjf2000/gnet/v2, an event loop, and the framing of
// github.com/gobwas/ws. What one event brought is answered in one write. A frame
// has to be a whole message: nobody fragments here.
package main

import (
	"bytes"
	"flag"
	"io"
	"log"
	"runtime"
	"sync"

	"github.com/gobwas/ws"
	"github.com/panjf2000/gnet/v2"
)

type echo struct{ gnet.BuiltinEventEngine }

// buffers are for answers; gnet copies what it cannot send at once.
var buffers = sync.Pool{New: func() any { return new(bytes.Buffer) }}

// upgraded is the context of a connection behind its handshake.
var upgraded any = true

// memory lets the Upgrader read and write bytes.
type memory struct {
	io.Reader
	io.Writer
}

func (e *echo) OnTraffic(c gnet.Conn) gnet.Action {
	in, _ := c.Peek(-1)
	if c.Context() == nil {
		end := bytes.Index(in, []byte("\r\n\r\n"))
		if end < 0 {
			return gnet.None
		}
		var out bytes.Buffer
		_, err := ws.Upgrade(memory{bytes.NewReader(in[:end+4]), &out})
		_, _ = c.Write(out.Bytes())
		if err != nil {
			return gnet.Close
		}
		c.SetContext(upgraded)
		_, _ = c.Discard(end + 4)
		in = in[end+4:]
	}
	return e.frames(c, in)
}

func (e *echo) frames(c gnet.Conn, in []byte) gnet.Action {
	out := buffers.Get().(*bytes.Buffer)
	defer buffers.Put(out)
	out.Reset()
	used, action := 0, gnet.None
	for action == gnet.None {
		r := bytes.NewReader(in[used:])
		h, err := ws.ReadHeader(r)
		if err != nil {
			break // it is not complete
		}
		from := len(in) - r.Len()
		if int64(r.Len()) < h.Length {
			break
		}
		payload := in[from : from+int(h.Length)]
		used = from + int(h.Length)
		ws.Cipher(payload, h.Mask, 0)
		op := h.OpCode
		switch op {
		case ws.OpPong:
			continue
		case ws.OpPing:
			op = ws.OpPong
		case ws.OpClose:
			action = gnet.Close
		}
		_ = ws.WriteHeader(out, ws.Header{Fin: true, OpCode: op, Length: h.Length})
		out.Write(payload)
	}
	_, _ = c.Discard(used)
	if out.Len() > 0 {
		_, _ = c.Write(out.Bytes())
	}
	return action
}

func main() {
	listen := flag.String("listen", "127.0.0.1:9001", "address")
	flag.Parse()
	log.Fatal(gnet.Run(&echo{}, "tcp://"+*listen, gnet.WithNumEventLoop(runtime.GOMAXPROCS(0))))
}
