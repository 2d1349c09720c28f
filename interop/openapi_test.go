//go:build linux

package interop

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"mime"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// openAPI is docs/openapi.json, which every answer in these tests is held against.
type openAPI struct {
	paths     map[string]map[string]operation
	responses map[string]response // shared ones
	compiler  *jsonschema.Compiler

	mu   sync.Mutex
	seen map[string]bool // "operationId status"
}

type operation struct {
	OperationID string
	Parameters  []reference
	RequestBody *struct {
		Content map[string]struct{ Schema json.RawMessage }
	}
	Responses map[string]response

	at string // where it is in the document
}

type reference struct {
	Ref string `json:"$ref"`
}

type response struct {
	reference
	Description string
	Headers     map[string]struct {
		Required bool
		Schema   json.RawMessage
	}
	Content map[string]struct{ Schema json.RawMessage }

	at string
}

const specification = "../docs/openapi.json"

func readOpenAPI(t *testing.T) *openAPI {
	t.Helper()
	text, err := os.ReadFile(specification)
	if err != nil {
		t.Fatal(err)
	}
	var doc struct {
		OpenAPI    string
		Paths      map[string]map[string]operation
		Components struct{ Responses map[string]response }
	}
	if err := json.Unmarshal(text, &doc); err != nil || doc.OpenAPI != "3.1.0" {
		t.Fatalf("%s: version %q, %v", specification, doc.OpenAPI, err)
	}
	spec := &openAPI{paths: doc.Paths, responses: doc.Components.Responses, compiler: jsonschema.NewCompiler(), seen: make(map[string]bool)}
	spec.compiler.DefaultDraft(jsonschema.Draft2020) // as OpenAPI 3.1 has it
	for path, methods := range doc.Paths {
		for method, op := range methods {
			op.at = "/paths/" + escapedPointer(path) + "/" + method
			methods[method] = op
		}
	}
	return spec
}

func escapedPointer(s string) string {
	return strings.NewReplacer("~", "~0", "/", "~1").Replace(s)
}

// find returns the operation that a request is for, "" if there is none.
func (spec *openAPI) find(method, path string) (op operation, ok bool) {
	parts := strings.Split(path, "/")
	for template, methods := range spec.paths {
		same := slices.EqualFunc(strings.Split(template, "/"), parts, func(want, got string) bool {
			return want == got || strings.HasPrefix(want, "{") && got != ""
		})
		for name, op := range methods {
			if same && (method == strings.ToUpper(name) || method == http.MethodHead && name == "get") {
				return op, true
			}
		}
	}
	return op, false
}

// check fails the test if an answer is not as the document says, and returns its body.
func (spec *openAPI) check(t *testing.T, resp *http.Response) (body []byte) {
	t.Helper()
	body, err := io.ReadAll(resp.Body)
	resp.Body.Close()
	if err != nil {
		t.Fatal(err)
	}
	req, status := resp.Request, fmt.Sprint(resp.StatusCode)
	what := fmt.Sprintf("%s %s: %s", req.Method, req.URL.RequestURI(), status)
	op, ok := spec.find(req.Method, req.URL.EscapedPath())
	r := spec.responses[status]
	if r.at = "/components/responses/" + status; ok {
		if r, ok = op.Responses[status]; !ok {
			t.Errorf("%s %s: the document has no such status for %s", what, body, op.OperationID)
			return body
		}
		r.at = op.at + "/responses/" + status
		spec.mu.Lock()
		spec.seen[op.OperationID+" "+status] = true
		spec.mu.Unlock()
	} else if resp.StatusCode < 400 {
		t.Errorf("%s %s: the document has no such operation", what, body)
	}
	if name, ok := strings.CutPrefix(r.Ref, "#/components/responses/"); ok {
		r = spec.responses[name]
		r.at = "/components/responses/" + name
	}
	media, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	if _, ok := r.Content[media]; !ok {
		t.Errorf("%s: the document has no %q there", what, media)
		return body
	}
	if req.Method != http.MethodHead {
		spec.judge(t, what, r.at+"/content/"+escapedPointer(media)+"/schema", body)
	}
	for name, header := range r.Headers {
		switch got := resp.Header.Get(name); {
		case got != "":
			text, _ := json.Marshal(got)
			spec.judge(t, what+" "+name, r.at+"/headers/"+escapedPointer(name)+"/schema", text)
		case header.Required:
			t.Errorf("%s: there is no header %s", what, name)
		}
	}
	return body
}

// judge fails the test if JSON is not what the schema at a place in the document wants.
func (spec *openAPI) judge(t *testing.T, what, at string, text []byte) {
	t.Helper()
	spec.mu.Lock()
	schema, err := spec.compiler.Compile(specification + "#" + at)
	spec.mu.Unlock()
	if err != nil {
		t.Fatal(err)
	}
	v, err := jsonschema.UnmarshalJSON(strings.NewReader(string(text)))
	if err == nil {
		err = schema.Validate(v)
	}
	if err != nil {
		t.Errorf("%s: %s: %v", what, text, err)
	}
}

// checkAllSeen fails the test if there is a status in the document that no answer has had.
func (spec *openAPI) checkAllSeen(t *testing.T) {
	t.Helper()
	spec.mu.Lock()
	defer spec.mu.Unlock()
	for _, methods := range spec.paths {
		for _, op := range methods {
			for _, status := range slices.Sorted(maps.Keys(op.Responses)) {
				if !spec.seen[op.OperationID+" "+status] {
					t.Errorf("%s: no answer was %s", op.OperationID, status)
				}
			}
		}
	}
}
