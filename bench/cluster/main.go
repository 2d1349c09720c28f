//go:build linux

package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log"
	"math/rand/v2"
	"os"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/usher-ws/usher/bench/internal/proc"
)

func main() {
	log.SetFlags(0)
	nodes := flag.String("nodes", "1,2,4,8", "how many nodes, by `N,…`; the first is what the others are compared with")
	members := flag.String("members", "1,1000", "how many members at each node, by `N,…`")
	var p plan
	flag.IntVar(&p.rounds, "rounds", 9, "how often each cluster is measured")
	flag.DurationVar(&p.rest, "rest", 2*time.Second, "for how long nodes are looked at while nobody speaks")
	flag.DurationVar(&p.speech, "for", 4*time.Second, "for how long somebody speaks")
	flag.Float64Var(&p.deliveries, "deliveries", 40_000, "how many a second at most: the more members there are in the largest cluster, the less is said in all")
	flag.Float64Var(&p.messages, "messages", 50, "how many a second at most")
	flag.Parse()
	series, err := allSeries(*nodes, *members)
	if err == nil && flag.NArg() != 1 {
		err = errors.New("name one binary of usher")
	}
	if err != nil {
		log.Println(err)
		os.Exit(2)
	}
	p.binary = flag.Arg(0)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err = p.measureAll(ctx, series)
	stop()
	if err != nil {
		log.Fatalln(err)
	}
	fmt.Printf("%s, %s: medians of %d rounds, %v each\n\n%s", proc.Machine(), time.Now().Format(time.DateOnly), p.rounds, p.speech, table(series))
}

// plan is how clusters are measured.
type plan struct {
	binary               string
	rounds               int
	rest, speech         time.Duration
	deliveries, messages float64 // a second, at most
}

// allSeries returns a series for each number of members, of clusters of each number of nodes.
func allSeries(nodes, members string) (all [][]*cluster, err error) {
	sizes, err := numbers(nodes)
	if err != nil {
		return nil, err
	}
	crowds, err := numbers(members)
	if err != nil {
		return nil, err
	}
	for _, m := range crowds {
		var one []*cluster
		for _, n := range sizes {
			one = append(one, &cluster{nodes: n, members: m, largest: slices.Max(sizes) * m})
		}
		all = append(all, one)
	}
	return all, nil
}

func numbers(list string) (all []int, err error) {
	for text := range strings.SplitSeq(list, ",") {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 {
			return nil, fmt.Errorf("%q: want numbers from 1, with commas between them", list)
		}
		all = append(all, n)
	}
	return all, nil
}

// measureAll measures all clusters by turns.
func (p *plan) measureAll(ctx context.Context, series [][]*cluster) error {
	var all []*cluster
	for _, one := range series {
		all = append(all, one...)
	}
	for round := range p.rounds {
		for _, k := range rand.New(rand.NewPCG(uint64(round), 0)).Perm(len(all)) {
			c := all[k]
			fmt.Fprintf(os.Stderr, "round %d of %d: nodes %d, members at each %d\n", round+1, p.rounds, c.nodes, c.members)
			if err := p.measure(ctx, c); err != nil {
				return err
			}
		}
	}
	return nil
}

// measure adds a round to what is known of a cluster.
func (p *plan) measure(ctx context.Context, c *cluster) error {
	t, err := found(ctx, p.binary, c.nodes)
	defer t.raze()
	if err != nil {
		return err
	}
	a, err := gather(ctx, t, c.members)
	defer a.leave()
	if err != nil {
		return err
	}
	began, before := time.Now(), t.cpu()
	if err := wait(ctx, p.rest); err != nil {
		return err
	}
	rest := float64(t.cpu()-before) / float64(time.Since(began))

	began, before = time.Now(), t.cpu()
	h, err := a.hear(ctx, min(p.messages, p.deliveries/float64(c.largest)), p.speech)
	if err != nil {
		return err
	}
	used := float64(t.cpu()-before) - rest*float64(time.Since(began))
	c.rest = append(c.rest, rest)
	c.each = append(c.each, used/float64(h.deliveries))
	c.here.Merge(h.here)
	c.there.Merge(h.there)
	return nil
}

// wait lets time pass.
func wait(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}
