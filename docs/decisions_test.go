package docs

import (
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/usher-ws/usher/internal/drawn"
)

var (
	room     = regexp.MustCompile(`(?m)^## (.+)$`)
	decision = regexp.MustCompile(`(?ms)^\*\*(\d{4}-\d\d-\d\d)\. (.+?)\*\*`)
)

// TestDecisionsIndex: the index of DECISIONS.md lists the decisions of each room, in their
// order, which is that of their dates. go test ./docs -run Decisions -update writes it.
func TestDecisionsIndex(t *testing.T) {
	const file = "DECISIONS.md"
	_, behind, _ := strings.Cut(read(t, file), "<!-- /index -->")
	drawn.Section(t, file, "index", indexOf(t, behind))
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
