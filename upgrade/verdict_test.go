package upgrade

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "rewrite testdata/answers.golden")

const golden = "testdata/answers.golden"

// TestAnswers knocks with every head of the table, cut in every way, and
// compares the verdict with the table and the bytes with the golden file.
func TestAnswers(t *testing.T) {
	want := readGolden(t)
	var out strings.Builder
	seen := map[string]bool{}
	for _, c := range cases {
		if seen[c.name] {
			t.Fatalf("two cases are called %q", c.name)
		}
		seen[c.name] = true
		answer, early, _ := knock(c.door, c.head)
		if got := verdict(answer); got != c.want {
			t.Errorf("%s: got %s, want %s\nhead %q", c.name, got, c.want, c.head)
		}
		fmt.Fprintf(&out, "=== %s: %s\n%s\n", c.name, c.want, answer)
		if !*update && want[c.name] != answer {
			t.Errorf("%s\n got %q\nwant %q\nhead %q", c.name, answer, want[c.name], c.head)
		}
		mangle(t, c.head, func(chunks ...string) {
			a, e, _ := knock(c.door, chunks...)
			if a != answer || e != early {
				t.Fatalf("%s in %d chunks, the first %q\n got %q\nwant %q", c.name, len(chunks), chunks[0], a, answer)
			}
		})
	}
	if *update {
		if err := os.WriteFile(golden, []byte(out.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("%d heads", len(cases))
}

func readGolden(t *testing.T) map[string]string {
	t.Helper()
	b, err := os.ReadFile(golden)
	if err != nil && !*update {
		t.Fatal(err)
	}
	answers := map[string]string{}
	for _, part := range strings.Split(string(b), "=== ")[1:] {
		title, answer, _ := strings.Cut(part, "\n")
		name := title[:strings.LastIndex(title, ": ")]
		answers[name] = strings.TrimSuffix(answer, "\n")
	}
	return answers
}

// TestOrderOfHeaders: the order of the header lines does not change the verdict.
func TestOrderOfHeaders(t *testing.T) {
	t.Parallel()
	rnd := rand.New(rand.NewPCG(1, 2))
	for _, c := range cases {
		if n, err := c.door.scanHead([]byte(c.head), 0); n == 0 || n != len(c.head) || err != nil {
			continue // scanHead refuses the first byte that is wrong
		}
		lines := strings.Split(strings.TrimSuffix(c.head, "\r\n\r\n"), "\r\n")
		for range 8 {
			rnd.Shuffle(len(lines)-1, func(i, j int) {
				lines[i+1], lines[j+1] = lines[j+1], lines[i+1]
			})
			answer, _, _ := knock(c.door, head(lines...))
			if got := verdict(answer); got != c.want {
				t.Errorf("%s: got %s, want %s\nhead %q", c.name, got, c.want, head(lines...))
			}
		}
	}
}
