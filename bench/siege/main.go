//go:build linux

package main

import (
	"context"
	"flag"
	"fmt"
	"log"
	"math/rand/v2"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"
)

func main() {
	log.SetFlags(0)
	if text := os.Getenv(crewEnv); text != "" {
		crewMain(text)
		return
	}
	long := flag.Duration("for", 5*time.Minute, "how long all attacks take for each binary, about")
	seed := flag.Uint64("seed", rand.Uint64(), "of all that is left to chance")
	only := flag.String("only", "", "the attacks to make, by `NAME,…`")
	scale := flag.Float64("scale", 1, "makes crowds smaller")
	flag.Usage = usage
	flag.Parse()
	list, err := choose(*only)
	if err == nil && flag.NArg() == 0 {
		err = fmt.Errorf("no binary of usher: name one or more")
	}
	if err != nil {
		log.Println(err)
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	p := usual(*long / time.Duration(len(list)))
	p.seed, p.scale = *seed, *scale
	if !besiege(ctx, list, flag.Args(), p) {
		stop()
		os.Exit(1)
	}
}

func usage() {
	fmt.Fprintln(flag.CommandLine.Output(), "siege [flags] BINARY...")
	flag.PrintDefaults()
	for _, a := range attacks {
		fmt.Fprintf(flag.CommandLine.Output(), "  %-16s %s\n", a.name, a.what)
	}
}

func choose(names string) (list []attack, err error) {
	if names == "" {
		return attacks, nil
	}
	for name := range strings.SplitSeq(names, ",") {
		at := slices.IndexFunc(attacks, func(a attack) bool { return a.name == name })
		if at < 0 {
			return nil, fmt.Errorf("there is no attack %q", name)
		}
		list = append(list, attacks[at])
	}
	return list, nil
}

// besiege makes all attacks on all binaries and prints what came of it. It reports whether
// nothing happened that must not.
func besiege(ctx context.Context, list []attack, binaries []string, p plan) bool {
	fmt.Printf("seed %d\n", p.seed)
	var rows []row
	for _, a := range list {
		for _, path := range binaries {
			if ctx.Err() != nil {
				break
			}
			r := perform(ctx, &a, path, p)
			rows = append(rows, r)
			r.print(os.Stdout)
		}
	}
	fmt.Print("\n", table(rows))
	return !slices.ContainsFunc(rows, func(r row) bool { return len(r.violations) > 0 })
}
