//go:build linux

package server

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/usher-ws/usher/upgrade"
)

// mirrored is a Relay of TestAtRandom, which leads back to another route of the same server.
type mirrored struct {
	to  string                         // that route
	tls *tls.Config                    // if the server speaks TLS
	at  atomic.Pointer[netip.AddrPort] // the server, when it has started

	called, ended atomic.Int64
}

func (m *mirrored) relay() *Relay {
	return &Relay{
		Ask:       func(r *upgrade.Request) Caller { return &mirroring{mirrored: m, request: m.ask(r)} },
		Ended:     func(uint32) { m.ended.Add(1) },
		CheckText: true,
	}
}

// ask is the request, of the same user, with the client's own key.
func (m *mirrored) ask(r *upgrade.Request) []byte {
	return fmt.Appendf(nil, "GET %s?%s HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: %s\r\n\r\n",
		m.to, r.RawQuery(), r.Header("Sec-WebSocket-Key"))
}

// mirroring asks once.
type mirroring struct {
	*mirrored
	request []byte
}

func (m *mirroring) Next(cause error) (Call, error) {
	at := m.at.Load()
	if cause != nil || at == nil {
		return Call{}, upgrade.Reject(502, "gone", "Gone.")
	}
	m.called.Add(1)
	return Call{To: *at, TLS: m.tls, Request: m.request, Timeout: time.Second}, nil
}

func (m *mirroring) Await(func()) {}

func (m *mirroring) Answer(dst []byte, _ bool, in []byte, eof bool) (a Answer, _ error) {
	head, _, found := bytes.Cut(in, []byte("\r\n\r\n"))
	if !found {
		return a, nil
	}
	if _, err := fmt.Sscanf(string(head), "HTTP/1.1 %d ", &a.Status); err != nil {
		return a, upgrade.Reject(502, "bad", "Bad.")
	}
	a.Size = len(head) + len("\r\n\r\n")
	if a.Status != 101 {
		if a.Size = len(in); !eof {
			return Answer{}, nil
		}
	}
	a.Response = append(dst, in[:a.Size]...)
	return a, nil
}

func (m *mirroring) Lost(error) error {
	return upgrade.Reject(502, "gone", io.ErrUnexpectedEOF.Error())
}

func (m *mirroring) Done() {}
