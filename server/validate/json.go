//go:build linux

package validate

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/santhosh-tekuri/jsonschema/v6/kind"
	"github.com/usher-ws/usher/frame"
	"github.com/usher-ws/usher/internal/text"
	"github.com/usher-ws/usher/server"
)

// The codes of the errors that a client is told.
const (
	codeBadJSON  = "bad_json"
	codeMismatch = "schema_mismatch"
)

// errMalformed ends a connection that goes on sending what is not valid. The reason is the
// chat's.
var errMalformed = &server.CloseError{Code: frame.StatusPolicyViolation, Reason: "malformed_messages"}

// JSON returns the middleware that handles texts only if they are JSON that the
// schema allows, a JSON Schema of whatever draft it names, else 2020-12. All other
// messages are answered to their sender with
//
//	{"type":"error","code":"schema_mismatch","detail":"at '/price': got string, want number"}
//
// and, when they were most within a minute, the connection is closed with 1008; zero
// is never. The code is bad_json for what is no JSON, or no text. The error is for a
// schema that does not compile.
func JSON(schema []byte, most int) (server.Middleware, error) {
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(schema))
	if err != nil {
		return server.Middleware{}, fmt.Errorf("validate: the schema: %w", err)
	}
	const name = "schema.json"
	compiler := jsonschema.NewCompiler()
	compiler.UseLoader(nowhere{})
	if err := compiler.AddResource(name, doc); err != nil {
		return server.Middleware{}, fmt.Errorf("validate: %w", err)
	}
	compiled, err := compiler.Compile(name)
	if err != nil {
		return server.Middleware{}, fmt.Errorf("validate: %w", err)
	}
	v := &validator{schema: compiled, most: most, strikes: make(map[server.Conn]strikes)}
	return server.Middleware{Name: "validate", Message: v.message, Close: v.close}, nil
}

// nowhere is where schemas are loaded from: all there is has to be in the one.
type nowhere struct{}

// Load implements jsonschema.URLLoader.
func (nowhere) Load(url string) (any, error) {
	return nil, fmt.Errorf("%s is not in the schema, and is not fetched", url)
}

// validator is what the hooks share. Its methods are safe for any goroutine.
type validator struct {
	schema *jsonschema.Schema
	most   int

	offenders atomic.Int64 // len(strikes), so that the others need no lock
	mu        sync.Mutex
	strikes   map[server.Conn]strikes
}

// mostDigits is enough for any float64.
const mostDigits = 400

// strikes are the malformed messages of a minute that began with the first.
type strikes struct {
	count int
	since time.Time
}

func (v *validator) message(next server.MessageFunc) server.MessageFunc {
	return func(c server.Conn, m server.Message) error {
		code, detail := v.judge(m)
		if code == "" {
			return next(c, m)
		}
		_ = c.Send(frame.OpText, problem(code, detail)) // a peer that has no room for it is not told
		if v.most > 0 && v.strike(c, time.Now()) >= v.most {
			return errMalformed
		}
		return nil
	}
}

func (v *validator) close(next server.CloseFunc) server.CloseFunc {
	return func(c server.Conn, err error) {
		if v.offenders.Load() > 0 {
			v.forgive(c)
		}
		next(c, err)
	}
}

// judge returns the code and the detail of what is wrong with m, or "".
func (v *validator) judge(m server.Message) (code, detail string) {
	if m.Opcode != frame.OpText {
		return codeBadJSON, "want a text message"
	}
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(m.Data)) // nested 10,000 deep at most
	if err != nil {
		return codeBadJSON, "the message is not JSON"
	}
	if outsized(value) {
		return codeBadJSON, "a number is too large or too long"
	}
	if err := v.schema.Validate(value); err != nil {
		return codeMismatch, explain(err)
	}
	return "", ""
}

// outsized reports whether a number in value has too many digits, or would have if it
// were written out: a schema reckons with all of them.
func outsized(value any) bool {
	switch v := value.(type) {
	case json.Number:
		e := strings.IndexAny(string(v), "eE")
		if len(v) > mostDigits || e < 0 {
			return len(v) > mostDigits
		}
		exponent, err := strconv.Atoi(string(v[e+1:]))
		return err != nil || exponent < -mostDigits || exponent > mostDigits
	case []any:
		return slices.ContainsFunc(v, outsized)
	case map[string]any:
		for _, member := range v {
			if outsized(member) {
				return true
			}
		}
	}
	return false
}

func (v *validator) strike(c server.Conn, now time.Time) int {
	v.mu.Lock()
	defer v.mu.Unlock()
	s := v.strikes[c]
	if s.count == 0 || now.Sub(s.since) >= time.Minute {
		s = strikes{since: now}
	}
	s.count++
	v.strikes[c] = s
	v.offenders.Store(int64(len(v.strikes)))
	return s.count
}

func (v *validator) forgive(c server.Conn) {
	v.mu.Lock()
	defer v.mu.Unlock()
	delete(v.strikes, c)
	v.offenders.Store(int64(len(v.strikes)))
}

// explain returns the one finding that is most likely to help.
func explain(err error) string {
	var found *jsonschema.ValidationError
	if !errors.As(err, &found) {
		return "the message does not match the schema"
	}
	for len(found.Causes) > 0 {
		found = likeliest(found)
	}
	return cut(found.Error())
}

// likeliest returns the cause of e to look into. Of a choice it is the first branch
// that does not ask for another constant: the others were not meant.
func likeliest(e *jsonschema.ValidationError) *jsonschema.ValidationError {
	switch e.ErrorKind.(type) {
	case *kind.OneOf, *kind.AnyOf:
		for _, branch := range e.Causes {
			if !wantsOther(branch) {
				return branch
			}
		}
	}
	return e.Causes[0]
}

// wantsOther reports whether some finding of e is about a constant.
func wantsOther(e *jsonschema.ValidationError) bool {
	switch e.ErrorKind.(type) {
	case *kind.Const, *kind.Enum:
		return true
	}
	return slices.ContainsFunc(e.Causes, wantsOther)
}

// mostDetail bounds the detail: it quotes what the client has sent.
const mostDetail = 200

func cut(detail string) string {
	detail = strings.ToValidUTF8(detail, "\uFFFD")
	if len(detail) <= mostDetail {
		return detail
	}
	return text.Prefix(detail, mostDetail) + "…"
}

func problem(code, detail string) []byte {
	b, _ := json.Marshal(struct { // strings: there is no error
		Type   string `json:"type"`
		Code   string `json:"code"`
		Detail string `json:"detail"`
	}{"error", code, detail})
	return b
}
