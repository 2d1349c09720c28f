//go:build linux

package chat

import (
	"bytes"
	"testing"
	"unicode/utf8"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// FuzzRequest: a request is understood if and only if the schema allows it.
func FuzzRequest(f *testing.F) {
	schema, err := jsonschema.NewCompiler().Compile("../docs/chat.schema.json#/$defs/in")
	if err != nil {
		f.Fatal(err)
	}
	for _, seed := range []string{
		`{"type":"say","text":"hi"}`, `{"type":"direct","to":"bob","text":"psst","x":[1e999]}`,
		`{"type":"status","status":""}`, `{"type":"who"}`, `{"Type":"who"}`, `{"type":"who","type":"say"}`,
		`{"type":"say","text":"\ud800"}`, `{"type":"say","text":"a\u0085"}`, `{"type":"say","text":null}`,
		`null`, `[]`, ` {} `, `{"type":"who"} x`, `{"type":"say","text":"\u3164"}`, `{"type":"direct","to":"\u2800","text":"x"}`,
		`{"type":"status","status":"\u200b"}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if !utf8.Valid(b) {
			return // the framing layer lets none of these in
		}
		var flaw error
		if v, err := jsonschema.UnmarshalJSON(bytes.NewReader(b)); err != nil {
			flaw = err
		} else {
			flaw = schema.Validate(v)
		}
		r, got := parseRequest(b)
		if got == nil {
			got = r.flaw()
		}
		if (got == nil) != (flaw == nil) {
			t.Errorf("%q: got %+v, the schema says %v", b, got, flaw)
		}
	})
}
