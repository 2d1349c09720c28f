package main

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
)

// knot loads the package in testdata: a generic type with methods in three files.
func knot(t *testing.T) *house {
	t.Helper()
	houses, err := load("./testdata/knot")
	if err != nil {
		t.Fatal(err)
	}
	if len(houses) != 1 {
		t.Fatalf("got %d packages, want 1", len(houses))
	}
	return houses[0]
}

func TestTies(t *testing.T) {
	h := knot(t)
	var got []string
	ties := h.tie(false)
	for _, a := range slices.Sorted(maps.Keys(ties)) {
		for _, b := range slices.Sorted(maps.Keys(ties[a])) {
			got = append(got, fmt.Sprint(a, " ", b, " ", slices.Sorted(maps.Keys(ties[a][b]))))
		}
	}
	want := []string{
		"close.go loop.go [Loop.again]",
		"close.go slot.go [Slot.put Slot.take]",
		"close.go write.go [Loop.count]",
		"loop.go slot.go [Slot.take each]",
		"loop.go write.go [Loop.write]",
		"table.go loop.go [Loop.Read]",
		"write.go close.go [Loop.close]",
		"write.go slot.go [each]",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	cycle := ties.cycle(h.fileLines())
	if want := []string{"close.go", "loop.go", "write.go"}; !slices.Equal(cycle, want) {
		t.Errorf("cycle: got %q, want %q", cycle, want)
	}
	funcs, sizes := h.tieFuncs()
	cycle = funcs.cycle(sizes)
	if want := []string{"Loop.Read", "Loop.again", "Loop.close", "Loop.write"}; !slices.Equal(cycle, want) {
		t.Errorf("cycle of functions: got %q, want %q", cycle, want)
	}
	if !h.tie(true)["loop.go"]["slot.go"]["Slot"] {
		t.Error("with types: got no tie of loop.go to Slot in slot.go")
	}
}

// TestStops: Read stops at loop.go, at slot.go for take, at write.go, at close.go, and at
// slot.go for put, where each is, too. Neither count nor again is given a slot.
func TestStops(t *testing.T) {
	h := knot(t)
	w, err := h.walkFrom("Loop.Read")
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]int{"loop.go": 1, "slot.go": 2, "write.go": 1, "close.go": 1}
	if !maps.Equal(w.stops, want) {
		t.Errorf("got %v, want %v", w.stops, want)
	}
	if _, err := h.walkFrom("Loop.Write"); err == nil {
		t.Error("from a function that is not there: got no error")
	}
}

func TestSizes(t *testing.T) {
	h := knot(t)
	if got, want := h.bigTypes(4), []size{{name: "Loop", n: 5, fields: 2}}; !slices.Equal(got, want) {
		t.Errorf("types: got %v, want %v", got, want)
	}
	if got, want := h.longFiles(18), []size{{name: "loop.go", n: 19}}; !slices.Equal(got, want) {
		t.Errorf("files: got %v, want %v", got, want)
	}
	want := []size{{name: "write.go Loop.write", n: 7}, {name: "close.go Loop.close", n: 6}}
	if got := h.longFuncs(5); !slices.Equal(got, want) {
		t.Errorf("functions: got %v, want %v", got, want)
	}
}

func TestReport(t *testing.T) {
	var b bytes.Buffer
	h := knot(t)
	report(&b, h, true)
	reportStops(&b, h, "Loop.Read")
	for _, want := range []string{
		"testdata/knot: 5 files, 60 lines, 27 of them in functions\n",
		"cycle by calls: 3 of 5 files, ",
		"     1 close.go -> loop.go: Loop.again\n",
		"from Loop.Read: 5 stops at 4 files, through 6 functions\n     2 slot.go\n",
	} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("got\n%s\nwant %q in it", b.String(), want)
		}
	}
}
