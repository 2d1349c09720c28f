package docs

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

// Every code that the source defines is in CODES.md.
func TestCodesAreListed(t *testing.T) {
	list, err := os.ReadFile("CODES.md")
	if err != nil {
		t.Fatal(err)
	}
	for file, pattern := range map[string]string{
		"../upgrade/codes.go":        `\bCode\w+\s*=\s*"(\w+)"`,
		"../chat/guard.go":           `\bcode\w+\s*=\s*"(\w+)"`,
		"../chat/fault.go":           `\bcode\w+\s*=\s*"(\w+)"`,
		"../server/validate/json.go": `\bcode\w+\s*=\s*"(\w+)"`,
		"../login/body.go":           `Reject\([^,]+, "(\w+)"`,
		"../login/grant.go":          `Reject\([^,]+, "(\w+)"`,
	} {
		source, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		found := regexp.MustCompile(pattern).FindAllStringSubmatch(string(source), -1)
		if len(found) == 0 {
			t.Errorf("%s defines no codes", file)
		}
		for _, m := range found {
			if !strings.Contains(string(list), "`"+m[1]+"`") {
				t.Errorf("%s: %q is not in CODES.md", file, m[1])
			}
		}
	}
}
