//go:build linux

package main_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"
)

// chromiumOnce is the one browser of all tests: to start it takes longer than most tests.
var chromiumOnce struct {
	sync.Once
	endpoint string // where puppets.mjs finds it
	err      error
	stop     func() error
}

// endpoint starts the browser for the first test that needs it.
func endpoint(t *testing.T) (interpreter, address string) {
	t.Helper()
	interpreter, path := chromium(t)
	chromiumOnce.Do(func() {
		cmd := exec.Command(interpreter, "browser.mjs", path)
		cmd.Dir = clientsDir
		cmd.Stderr = os.Stderr
		in, err := cmd.StdinPipe()
		if err != nil {
			chromiumOnce.err = err
			return
		}
		out, err := cmd.StdoutPipe()
		if err != nil {
			chromiumOnce.err = err
			return
		}
		if chromiumOnce.err = cmd.Start(); chromiumOnce.err != nil {
			return
		}
		chromiumOnce.stop = func() error {
			in.Close()
			return cmd.Wait()
		}
		chromiumOnce.endpoint, chromiumOnce.err = bufio.NewReader(out).ReadString('\n')
	})
	if chromiumOnce.err != nil {
		t.Fatalf("browser.mjs: %v", chromiumOnce.err)
	}
	return interpreter, strings.TrimSpace(chromiumOnce.endpoint)
}

// closeBrowser ends the browser, if there was one.
func closeBrowser() error {
	if chromiumOnce.stop == nil {
		return nil
	}
	return chromiumOnce.stop()
}

// browser is the people of one test in the headless Chromium of all tests.
type browser struct {
	t       *testing.T
	tell    io.Writer
	answers *json.Decoder
}

// newBrowser returns one for a test; its people leave at the test's end, which fails if a page
// had an error or did what its policy forbids.
func newBrowser(t *testing.T) *browser {
	t.Helper()
	interpreter, address := endpoint(t)
	b := startScript(t, "puppets.mjs", interpreter, "puppets.mjs", address)
	t.Cleanup(func() {
		if !t.Failed() {
			var errors []string
			b.do("", "errors", &errors)
			if len(errors) > 0 {
				t.Errorf("errors of pages: %q", errors)
			}
		}
	})
	return b
}

// startScript starts a script that is told lines of JSON and answers in such, and ends when there are
// no more.
func startScript(t *testing.T, name, interpreter string, args ...string) *browser {
	t.Helper()
	cmd := exec.Command(interpreter, args...)
	cmd.Dir = clientsDir
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		in.Close()
		watchdog := time.AfterFunc(patience, func() { cmd.Process.Kill() })
		defer watchdog.Stop()
		if err := cmd.Wait(); err != nil {
			t.Errorf("%s: %v\n%s", name, err, stderr.String())
		}
	})
	return &browser{t: t, tell: in, answers: json.NewDecoder(bufio.NewReader(out))}
}

// do makes somebody do something, and waits until it is done. value, if not nil, gets the
// result.
func (b *browser) do(who, how string, value any, args ...any) {
	b.t.Helper()
	order, err := json.Marshal(map[string]any{"who": who, "how": how, "args": append([]any{}, args...)})
	if err != nil {
		b.t.Fatal(err)
	}
	if _, err := b.tell.Write(append(order, '\n')); err != nil {
		b.t.Fatalf("%s: %s %q: %v", who, how, args, err)
	}
	answer := struct {
		Value any
		Error string
	}{Value: value}
	if err := b.answers.Decode(&answer); err != nil || answer.Error != "" {
		b.t.Fatalf("%s: %s %q: %v%s", who, how, args, err, answer.Error)
	}
}

// person is somebody with a browser of their own, as far as the server can tell.
type person struct {
	*browser
	name string
}

// comes opens the program's page. look is nil, or Playwright's options of a context.
func (b *browser) comes(name string, p *program, look map[string]any) person {
	b.t.Helper()
	return b.opens(name, "http://"+p.addr+"/", look)
}

// opens opens any page.
func (b *browser) opens(name, url string, look map[string]any) person {
	b.t.Helper()
	if look == nil {
		look = map[string]any{}
	}
	b.do(name, "come", nil, url, look)
	return person{b, name}
}

func (p person) fill(selector, text string) { p.t.Helper(); p.do(p.name, "fill", nil, selector, text) }
func (p person) click(selector string)      { p.t.Helper(); p.do(p.name, "click", nil, selector) }
func (p person) sees(selector, words string) {
	p.t.Helper()
	p.do(p.name, "sees", nil, selector, words)
}
func (p person) told(words string) { p.t.Helper(); p.do(p.name, "told", nil, words) }

// finds waits until the page shows what the selector selects; misses, until it does not.
func (p person) finds(selector string) { p.t.Helper(); p.do(p.name, "waitForSelector", nil, selector) }
func (p person) misses(selector string) {
	p.t.Helper()
	p.do(p.name, "waitForSelector", nil, selector, map[string]any{"state": "hidden"})
}

// until waits until an expression is true in the page.
func (p person) until(expression string) { p.t.Helper(); p.do(p.name, "until", nil, expression) }

// keys presses keys one after the other; a string that begins with a colon is typed.
func (p person) keys(keys ...string) {
	p.t.Helper()
	for _, key := range keys {
		if text, ok := strings.CutPrefix(key, ":"); ok {
			p.do(p.name, "type", nil, text)
			continue
		}
		p.do(p.name, "key", nil, key)
	}
}

func (p person) logIn(user, password string) {
	p.t.Helper()
	p.fill("#username", user)
	p.fill("#password", password)
	p.click("#login")
}

func (p person) join(room string) {
	p.t.Helper()
	p.fill("#room", room)
	p.click("#join")
	p.finds("#send:enabled")
}

func (p person) say(text string) {
	p.t.Helper()
	p.fill("#text", text)
	p.click("#send")
}

// carries gives the page a token and a room, as if it had been reloaded with them.
func (p person) carries(token, room string) {
	p.t.Helper()
	kept := mustJSON(map[string]any{"token": token, "room": room, "rooms": []string{room}})
	p.do(p.name, "evaluate", nil, "sessionStorage.setItem('usher', "+string(mustJSON(string(kept)))+")")
	p.do(p.name, "reload", nil)
}

func mustJSON(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return b
}

// texts are those of all that the selector selects.
func (p person) texts(selector string) (texts []string) {
	p.t.Helper()
	p.do(p.name, "texts", &texts, selector)
	return texts
}
