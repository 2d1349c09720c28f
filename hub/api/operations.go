//go:build linux

package api

import (
	"net/http"
	"net/url"
	"strings"
	"unicode/utf8"

	"github.com/usher-ws/usher/upgrade"
)

// operation is what can be asked for: a method and a path of docs/openapi.json.
type operation struct {
	id      string // operationId
	method  string
	path    string
	params  []string // of the query
	hasBody bool
	do      func(a *API, q *question) (answer any, err error)

	// Made by init.
	parts   []string // of path; "" stands for any that is not empty
	room    int      // which of the names is a room's; -1 if none is
	ofRooms bool
}

var paging, ending = []string{"limit", "after"}, []string{"code", "reason", "ban"}

var operations = []*operation{
	{id: "listRooms", method: http.MethodGet, path: "/v1/rooms", params: paging, do: (*API).listRooms},
	{id: "getRoom", method: http.MethodGet, path: "/v1/rooms/{room}", params: paging, do: (*API).getRoom},
	{id: "tellRoom", method: http.MethodPost, path: "/v1/rooms/{room}/messages", hasBody: true, do: (*API).tellRoom},
	{id: "deleteRetained", method: http.MethodDelete, path: "/v1/rooms/{room}/retained", do: (*API).deleteRetained},
	{id: "putMember", method: http.MethodPut, path: "/v1/rooms/{room}/members/{sub}", do: (*API).putMember},
	{id: "deleteMember", method: http.MethodDelete, path: "/v1/rooms/{room}/members/{sub}", do: (*API).deleteMember},
	{id: "getUser", method: http.MethodGet, path: "/v1/users/{sub}", params: []string{"limit"}, do: (*API).getUser},
	{id: "tellUser", method: http.MethodPost, path: "/v1/users/{sub}/messages", hasBody: true, do: (*API).tellUser},
	{id: "closeUser", method: http.MethodDelete, path: "/v1/users/{sub}", params: ending, do: (*API).closeUser},
	{id: "liftBan", method: http.MethodDelete, path: "/v1/users/{sub}/ban", do: (*API).liftBan},
	{id: "listBans", method: http.MethodGet, path: "/v1/bans", params: paging, do: (*API).listBans},
	{id: "getConnection", method: http.MethodGet, path: "/v1/connections/{id}", do: (*API).getConnection},
	{id: "tellConnection", method: http.MethodPost, path: "/v1/connections/{id}/messages", hasBody: true, do: (*API).tellConnection},
	{id: "closeConnection", method: http.MethodDelete, path: "/v1/connections/{id}", params: ending, do: (*API).closeConnection},
	{id: "putExpiry", method: http.MethodPut, path: "/v1/connections/{id}/exp", hasBody: true, do: (*API).putExpiry},
}

func init() {
	for _, op := range operations {
		op.room = -1
		op.ofRooms = strings.HasPrefix(op.path, "/v1/rooms")
		names := 0
		for _, part := range strings.Split(op.path[1:], "/") {
			if part[0] == '{' {
				if part == "{room}" {
					op.room = names
				}
				names++
				part = ""
			}
			op.parts = append(op.parts, part)
		}
	}
}

// find returns the operation that a request is for, and the names in its path, decoded once.
func find(r *http.Request) (*operation, []string, error) {
	path, ok := strings.CutPrefix(r.URL.EscapedPath(), "/")
	parts := strings.Split(path, "/")
	method, allowed := r.Method, []string(nil)
	if method == http.MethodHead {
		method = http.MethodGet
	}
	for _, op := range operations {
		names, matches := op.match(parts)
		switch {
		case !ok || !matches:
		case op.method != method:
			if allowed = append(allowed, op.method); op.method == http.MethodGet {
				allowed = append(allowed, http.MethodHead)
			}
		case !utf8.ValidString(strings.Join(names, "")):
			return nil, nil, badRequest("A name in the path is not UTF-8.")
		default:
			return op, names, nil
		}
	}
	if allowed != nil {
		return nil, nil, errMethod.WithHeader("Allow", strings.Join(allowed, ", "))
	}
	return nil, nil, errPath
}

var errMethod = upgrade.Reject(http.StatusMethodNotAllowed, upgrade.CodeMethodNotAllowed, "This path does not take this method; Allow names those it takes.")

// match returns the names in a path, and reports whether it is the operation's.
func (op *operation) match(parts []string) (names []string, ok bool) {
	if len(parts) != len(op.parts) {
		return nil, false
	}
	for k, want := range op.parts {
		if want != "" {
			if parts[k] != want {
				return nil, false
			}
			continue
		}
		name, err := url.PathUnescape(parts[k])
		if err != nil || name == "" {
			return nil, false
		}
		names = append(names, name)
	}
	return names, true
}
