package websocket

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"time"
	"unicode/utf8"

	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsflate"
)

// ReadMessage returns the next message. It answers pings and the server's close on the way.
// Its first error stays.
func (c *Conn) ReadMessage() (messageType int, data []byte, err error) {
	if c.readErr != nil {
		return -1, nil, c.readErr
	}
	messageType, data, err = c.readMessage()
	if err == io.EOF || err == io.ErrUnexpectedEOF {
		err = &CloseError{CloseAbnormalClosure, io.ErrUnexpectedEOF.Error()}
	}
	if err != nil {
		c.readErr = err
		return -1, data, err
	}
	return messageType, data, nil
}

func (c *Conn) readMessage() (int, []byte, error) {
	var first ws.Header // of the message
	var data []byte
	for {
		h, payload, err := c.readFrame(first.OpCode != 0)
		if err != nil {
			return 0, data, err
		}
		if h.OpCode.IsControl() {
			if err := c.control(h.OpCode, payload); err != nil {
				return 0, data, err
			}
			continue
		}
		if h.OpCode != ws.OpContinuation {
			first = h
		}
		if data = append(data, payload...); !h.Fin {
			continue
		}
		if first.Rsv != 0 {
			first.Fin, first.Length = true, int64(len(data))
			f, err := wsflate.DecompressFrame(ws.Frame{Header: first, Payload: data})
			if err != nil {
				return 0, nil, c.fail(CloseInvalidFramePayloadData, err.Error())
			}
			data = f.Payload
		}
		if first.OpCode == ws.OpText && !utf8.Valid(data) {
			return 0, nil, c.fail(CloseInvalidFramePayloadData, "text is not UTF-8")
		}
		return int(first.OpCode), bytes.Clone(data), nil
	}
}

// readFrame reads the next frame, which must be one that a server may send here.
func (c *Conn) readFrame(fragmented bool) (h ws.Header, payload []byte, err error) {
	if h, err = ws.ReadHeader(c.br); err != nil {
		return h, nil, err
	}
	state := ws.StateClientSide
	if fragmented {
		state = state.Set(ws.StateFragmented)
	}
	plain := h
	if c.deflate && (h.OpCode == ws.OpText || h.OpCode == ws.OpBinary) {
		plain.Rsv &^= ws.Rsv(true, false, false)
	}
	if err := ws.CheckHeader(plain, state); err != nil {
		return h, nil, c.fail(CloseProtocolError, err.Error())
	}
	payload = make([]byte, h.Length)
	_, err = io.ReadFull(c.br, payload)
	return h, payload, err
}

// control does what a control frame asks for; a close is an error.
func (c *Conn) control(op ws.OpCode, payload []byte) error {
	switch op {
	case ws.OpPing:
		return c.ping(string(payload))
	case ws.OpPong:
		return c.pong(string(payload))
	}
	if len(payload) == 0 {
		_ = c.WriteControl(CloseMessage, nil, time.Now().Add(time.Second))
		return &CloseError{Code: CloseNoStatusReceived}
	}
	code, reason := ws.ParseCloseFrameData(payload)
	known := code >= 1000 && code <= 1003 || code >= 1007 && code <= 1014 || code >= 3000 && code <= 4999
	if len(payload) == 1 || !known || !utf8.ValidString(reason) {
		return c.fail(CloseProtocolError, fmt.Sprintf("a bad close: %x", payload))
	}
	_ = c.WriteControl(CloseMessage, FormatCloseMessage(int(code), ""), time.Now().Add(time.Second))
	return &CloseError{int(code), reason}
}

// fail tells the server what it did wrong, and returns it.
func (c *Conn) fail(code int, text string) error {
	_ = c.WriteControl(CloseMessage, FormatCloseMessage(code, ""), time.Now().Add(time.Second))
	return errors.New("websocket: " + text)
}
