package docs

import (
	"flag"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"
)

var (
	update   = flag.Bool("update", false, "rewrite what is generated")
	room     = regexp.MustCompile(`(?m)^## (.+)$`)
	decision = regexp.MustCompile(`(?ms)^\*\*(\d{4}-\d\d-\d\d)\. (.+?)\*\*`)
)

// TestDecisionsIndex: the index of DECISIONS.md lists the decisions of each room, in their
// order, which is that of their dates. go test ./docs -run Decisions -update writes it.
func TestDecisionsIndex(t *testing.T) {
	const file, begin, end = "DECISIONS.md", "<!-- index -->\n", "<!-- /index -->"
	text := read(t, file)
	before, rest, ok1 := strings.Cut(text, begin)
	shown, behind, ok2 := strings.Cut(rest, end)
	if !ok1 || !ok2 {
		t.Fatalf("%s has no place for its index between %q and %q", file, begin, end)
	}
	want := indexOf(t, behind)
	if shown == want {
		return
	}
	if !*update {
		t.Fatalf("%s has another index than decisions; run with -update", file)
	}
	if err := os.WriteFile(file, []byte(before+begin+want+end+behind), 0o644); err != nil {
		t.Fatal(err)
	}
}

// indexOf draws the index of the rooms in text.
func indexOf(t *testing.T, text string) string {
	t.Helper()
	var b strings.Builder
	places := room.FindAllStringSubmatchIndex(text, -1)
	for i, at := range places {
		name, to := text[at[2]:at[3]], len(text)
		if i+1 < len(places) {
			to = places[i+1][0]
		}
		fmt.Fprintf(&b, "- [%s](#%s)\n", name, strings.ReplaceAll(name, "/", ""))
		last := ""
		for _, m := range decision.FindAllStringSubmatch(text[at[1]:to], -1) {
			if m[1] < last {
				t.Errorf("%s: %q is older than the one above it", name, m[2])
			}
			last = m[1]
			fmt.Fprintf(&b, "  - %s\n", strings.TrimRight(strings.Join(strings.Fields(m[2]), " "), ".,"))
		}
	}
	return b.String()
}
