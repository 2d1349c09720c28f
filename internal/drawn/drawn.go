// Package drawn holds documents to the code that parts of them are drawn from.
package drawn

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "rewrite what is drawn from the code")

// Section fails the test unless the lines of a file between <!-- name --> and
// <!-- /name --> are want; with -update it writes them there.
func Section(t *testing.T, file, name, want string) {
	t.Helper()
	begin, end := "<!-- "+name+" -->\n", "<!-- /"+name+" -->"
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok1 := strings.Cut(string(text), begin)
	shown, behind, ok2 := strings.Cut(rest, end)
	switch {
	case !ok1 || !ok2:
		t.Fatalf("%s has no place between %q and %q", file, begin, end)
	case shown == want:
	case !*update:
		t.Fatalf("%s shows something else than the code has; run this test with -update", file)
	default:
		if err := os.WriteFile(file, []byte(before+begin+want+end+behind), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// Table draws a table of states by events in Markdown. cell returns what is done, "" for
// nothing, and the states that it may lead to.
func Table[S, E interface {
	~uint8
	fmt.Stringer
}](states S, events E, cell func(s S, e E) (do string, next []S)) string {
	var b strings.Builder
	b.WriteString("| state |")
	for e := range events {
		fmt.Fprintf(&b, " %v |", e)
	}
	b.WriteString("\n|---|" + strings.Repeat("---|", int(events)) + "\n")
	for s := range states {
		fmt.Fprintf(&b, "| **%v** |", s)
		for e := range events {
			do, next := cell(s, e)
			if do == "" {
				b.WriteString(" – |")
				continue
			}
			var names []string
			for _, n := range next {
				names = append(names, n.String())
			}
			fmt.Fprintf(&b, " %s → %s |", do, strings.Join(names, ", "))
		}
		b.WriteString("\n")
	}
	return b.String()
}
