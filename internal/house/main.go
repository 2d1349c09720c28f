// House prints how a package is built: the files that call each other in one cycle, the
// types with many methods, the files and functions that are long, and with -from how
// often a value comes to each file on its way through the calls.
//
//	go run ./internal/house [-ties] [-from FUNC] PACKAGE...
//	go run ./internal/house -from loop.readInput ./server
//
// It is for people and judges nothing: its exit status is 0 for any package that
// compiles. It reads the package as it is built for Linux, without its tests.
//
// # How to read it
//
// File A is tied to file B if A calls a function or method that B declares, or takes it as
// a value. Only what the text itself decides counts: a call through an interface or a
// variable is no tie. A method of a generic type is one method, whatever the type
// arguments. Two files are in one cycle if the ties lead from each to the other. Nobody
// can read, test or move one of them without the rest. The share of the cycle is that of
// whole files, comments included. A small share means that most files stand in an order,
// and that a reader can begin at the lowest.
//
// The second cycle counts the types that A names, too, also as receivers. It is bigger in
// any package that spreads the methods of a type over files. To make a cycle smaller,
// print the -ties, and begin with the pairs of files that few names tie together.
//
// The cycle of functions is what remains however the functions are spread over files. If
// it is small, to move functions is enough to put the files in an order.
//
// -from walks from a function, for a method TYPE.METHOD. It follows the parameters, or the
// receiver if there are none, into every call within the package that passes one of them
// on, or a variable made from one. Calls are taken in the order of the text, and each body
// once. A call into another file than the call before it is one stop at that file. Many
// stops at one file mean that the way passes it again and again: what the file keeps could
// be fetched once and handed on. The walk does not see values in fields and channels, what
// a type switch names, and calls of interfaces and variables.
package main

import (
	"bufio"
	"flag"
	"fmt"
	"io"
	"log"
	"maps"
	"os"
	"slices"
	"strings"
)

// Whatever has more than this is listed.
const (
	methods = 30
	inFile  = 300 // lines
	inFunc  = 50  // lines
)

func main() {
	log.SetFlags(0)
	showTies := flag.Bool("ties", false, "print the names that tie the files of the cycle of calls, and the cycle of functions")
	from := flag.String("from", "", "count the stops on the way from `FUNC`, such as loop.read")
	flag.Parse()
	if flag.NArg() == 0 {
		log.Fatal("usage: house [-ties] [-from FUNC] PACKAGE...")
	}
	houses, err := load(flag.Args()...)
	if err != nil {
		log.Fatal(err)
	}
	w := bufio.NewWriter(os.Stdout)
	defer w.Flush()
	for _, h := range houses {
		report(w, h, *showTies)
		if *from != "" {
			reportStops(w, h, *from)
		}
	}
}

// report prints all but the stops.
func report(w io.Writer, h *house, showTies bool) {
	lines, inFuncs := h.fileLines(), h.funcLines()
	all := slices.Collect(maps.Keys(lines))
	fmt.Fprintf(w, "%s: %d files, %d lines, %d of them in functions\n", h.path, len(all), sum(lines, all), sum(inFuncs, all))
	for _, withTypes := range []bool{false, true} {
		title, t := "calls", h.tie(withTypes)
		if withTypes {
			title = "calls and types"
		}
		files := t.cycle(lines)
		fmt.Fprintf(w, "\ncycle by %s: %d of %d files, %.1f %% of the lines, %.1f %% of those in functions\n", title,
			len(files), len(all), percent(sum(lines, files), sum(lines, all)), percent(sum(inFuncs, files), sum(inFuncs, all)))
		for _, f := range files {
			fmt.Fprintf(w, "%6d %s\n", lines[f], f)
		}
		if showTies && !withTypes {
			reportTies(w, t, files)
		}
	}
	reportKnot(w, h, showTies)
	fmt.Fprintf(w, "\ntypes with more than %d methods:\n", methods)
	for _, s := range h.bigTypes(methods) {
		fmt.Fprintf(w, "%6d %s, %d fields\n", s.n, s.name, s.fields)
	}
	fmt.Fprintf(w, "\nfiles over %d lines:\n", inFile)
	for _, s := range h.longFiles(inFile) {
		fmt.Fprintf(w, "%6d %s\n", s.n, s.name)
	}
	fmt.Fprintf(w, "\nfunctions over %d lines:\n", inFunc)
	for _, s := range h.longFuncs(inFunc) {
		fmt.Fprintf(w, "%6d %s\n", s.n, s.name)
	}
	fmt.Fprintln(w)
}

// reportKnot prints the cycle of functions.
func reportKnot(w io.Writer, h *house, showAll bool) {
	t, lines := h.tieFuncs()
	names := t.cycle(lines)
	all := slices.Collect(maps.Keys(lines))
	fmt.Fprintf(w, "\ncycle of functions: %d of %d, %.1f %% of their lines\n",
		len(names), len(all), percent(sum(lines, names), sum(lines, all)))
	if showAll {
		var sizes []size
		for _, name := range names {
			sizes = append(sizes, size{name: name, n: lines[name]})
		}
		for _, s := range biggest(sizes) {
			fmt.Fprintf(w, "%6d %s\n", s.n, s.name)
		}
	}
}

// reportTies prints what ties the files of a cycle, the weakest tie first.
func reportTies(w io.Writer, t ties, cycle []string) {
	type tie struct {
		pair  string
		names []string
	}
	var all []tie
	for _, a := range cycle {
		for _, b := range cycle {
			if names := t[a][b]; len(names) > 0 {
				all = append(all, tie{a + " -> " + b, slices.Sorted(maps.Keys(names))})
			}
		}
	}
	slices.SortStableFunc(all, func(a, b tie) int { return len(a.names) - len(b.names) })
	fmt.Fprintln(w, "\nties in it, the weakest first:")
	for _, t := range all {
		fmt.Fprintf(w, "%6d %s: %s\n", len(t.names), t.pair, strings.Join(t.names, ", "))
	}
}

// reportStops prints the files that a walk comes to, the one it comes to most first.
func reportStops(w io.Writer, h *house, from string) {
	walk, err := h.walkFrom(from)
	if err != nil {
		fmt.Fprintf(w, "%v\n\n", err)
		return
	}
	fmt.Fprintf(w, "from %s: %d stops at %d files, through %d functions\n", from, walk.total(), len(walk.stops), len(walk.passed))
	var files []size
	for name, n := range walk.stops {
		files = append(files, size{name: name, n: n})
	}
	for _, s := range biggest(files) {
		fmt.Fprintf(w, "%6d %s\n", s.n, s.name)
	}
	fmt.Fprintln(w)
}

// percent returns part as a share of whole.
func percent(part, whole int) float64 {
	if whole == 0 {
		return 0
	}
	return 100 * float64(part) / float64(whole)
}
