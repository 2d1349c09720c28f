package strict

import (
	"strings"
	"testing"
)

func TestObject(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		`{}`, `{"a":1}`, " {\"a\" : {\"a\":[{\"a\":1},{\"a\":2}]}}\r\n", `{"a:b":"c:d\"e:f","\\":":"}`,
		`{"a":null,"b":[[],{}]}`, `{"ab":1,"a":2,"":3}`, `{"ß":1,"ss":2}`,
	} {
		if object, err := Object([]byte(text)); err != nil || object == nil {
			t.Errorf("%s: got %v, %v", text, object, err)
		}
	}
	for _, text := range []string{
		``, `null`, `[]`, `"a"`, `1`, `{`, `{}{}`, `{} x`, "{}\x00", "\ufeff{}",
		`{"a":1,"a":1}`, `{"a":1,"A":2}`, `{"a":1,"\u0061":2}`, `{"a":1,"\u0041":2}`, `{"k":1,"\u212a":2}`, `{"s":1,"ſ":2}`,
		`{"b":{"a":1,"a":2}}`, `{"b":[[{"a":1,"A":2}]]}`, `{"b":{"c":1},"b":{"d":1,"e":2}}`, `{"a":{"x":1},"a":1}`,
		`{"":1,"":2}`, `{"é":1,"\u00c9":2}`, `{"\ud800":1,"\udfff":2}`, `{"\"":1,"\u0022":2}`,
		"{\"a\xff\":1}", "{\"a\":\"\xc0\x80\"}", "{\"a\":\"\xed\xa0\x80\"}",
		`{"a":1e400}`, strings.Repeat("[", 20_000),
	} {
		if object, err := Object([]byte(text)); err == nil {
			t.Errorf("%.80q: got %v, want an error", text, object)
		}
	}
}
