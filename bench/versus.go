//go:build linux

package bench

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	mathrand "math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/usher-ws/usher/bench/internal/proc"
)

// Versus measures servers side by side: usher, usher once more, and the
// peers. Each round runs every contender once for each question, in a different order
// each time, each server fresh and pinned apart from the client.
// Pairs of one round are compared; how far usher is from itself says what
// a difference is worth.
type Versus struct {
	Peers  []string // names, which are directories of Source
	Source string   // where the peers' module is; default "bench/peers"
	Others []string // further servers as NAME=COMMAND, with {addr}, {host} or {port} in it, {cert} and {key} if it speaks TLS, {upstream} if it is a proxy
	Usher  string   // the program; default this one
	Rounds int      // default 9

	Questions []string // names; default all
	Duration  time.Duration
	Conns     int // of the idle question; default 19,000

	PinServer, PinClient []int // default: the first processor, and the second
	Progress             func(Progress)
}

const (
	defaultRounds     = 9
	maxRounds         = 1000
	defaultIdleConns  = 19_000
	defaultContestRun = 2 * time.Second
	self              = "usher"
	again             = "usher again"
	buildPatience     = 10 * time.Minute
	secretName        = "secret"
)

// contender is a server and how it is started; usher has flags of each question's.
type contender struct {
	name    string
	command string
	secure  string // for questions over TLS
	proxy   string // for questions about proxies
	other   bool   // one of Versus.Others
}

func (c contender) usher() bool { return c.name == self || c.name == again }

// Run measures all and returns the results, as far as they came before ctx ended.
func (v Versus) Run(ctx context.Context) (*Contest, error) {
	if err := v.complete(); err != nil {
		return nil, err
	}
	asked, err := v.asked(ctx)
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "usher-peers-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	list, err := v.contenders(ctx, dir)
	if err != nil {
		return nil, err
	}
	contest := newContest(proc.Machine(), asked, list)
	secret := []byte(rand.Text() + rand.Text())
	if err := os.WriteFile(filepath.Join(dir, secretName), secret, 0o600); err != nil {
		return nil, err
	}
	total := v.Rounds * len(asked) * len(list)
	done := 0
	for round := range v.Rounds {
		for q := range asked {
			for _, c := range mixed(round, q, len(list)) {
				done++
				if !asked[q].asks(list[c]) {
					continue
				}
				v.progress(float64(done)/float64(total), "round %d of %d, %s: %s", round+1, v.Rounds, asked[q].name, list[c].name)
				run, err := v.measure(ctx, &asked[q], list[c], dir, secret)
				if ctx.Err() != nil {
					return contest.finish(round), nil
				}
				contest.record(q, c, round, run, err)
			}
		}
	}
	return contest.finish(v.Rounds), nil
}

// mixed returns the order of n contenders for a question in a round: each time another,
// and each after every other one, since a contender leaves something behind for the next.
// The order is the same in every run.
func mixed(round, question, n int) []int {
	return mathrand.New(mathrand.NewPCG(uint64(round), uint64(question))).Perm(n)
}

func (v *Versus) complete() error {
	v.Source = cmp.Or(v.Source, filepath.Join("bench", "peers"))
	v.Rounds = cmp.Or(v.Rounds, defaultRounds)
	v.Duration = cmp.Or(v.Duration, defaultContestRun)
	v.Conns = cmp.Or(v.Conns, defaultIdleConns)
	if v.PinServer == nil && v.PinClient == nil {
		v.PinServer, v.PinClient = []int{0}, []int{1}
	}
	if v.Duration < 0 {
		return usagef("duration: %v is negative", v.Duration)
	}
	if err := cmp.Or(within("rounds", v.Rounds, 1, maxRounds), within("connections", v.Conns, 1, maxConns)); err != nil {
		return err
	}
	if v.Usher == "" {
		path, err := os.Executable()
		if err != nil {
			return err
		}
		v.Usher = path
	}
	for _, p := range v.Peers {
		if p == "" || filepath.Base(p) != p {
			return usagef("peer %q: want a name", p)
		}
		if _, err := os.Stat(filepath.Join(v.Source, p)); err != nil {
			return usagef("peer %q: %v: want the name of a directory in %s", p, err, v.Source)
		}
	}
	for _, o := range v.Others {
		if name, command, ok := strings.Cut(o, "="); !ok || name == "" || command == "" {
			return usagef("server %q: want NAME=COMMAND", o)
		}
	}
	return nil
}

// contenders builds the peers into dir.
func (v *Versus) contenders(ctx context.Context, dir string) ([]contender, error) {
	usher := contender{name: self,
		command: strconv.Quote(v.Usher) + " serve --listen {addr} ",
		secure:  strconv.Quote(v.Usher) + " serve --listen tls://{addr} --tls-cert {cert} --tls-key {key} ",
		proxy:   strconv.Quote(v.Usher) + " guard --listen {addr} --upstream http://{upstream} ",
	}
	list := []contender{usher, usher}
	list[1].name = again
	for _, o := range v.Others {
		name, command, _ := strings.Cut(o, "=")
		c := contender{name: name, other: true}
		switch {
		case strings.Contains(command, "{cert}"):
			c.secure = command
		case strings.Contains(command, "{upstream}"):
			c.proxy = command
		default:
			c.command = command
		}
		list = append(list, c)
	}
	if len(v.Peers) == 0 {
		return list, nil
	}
	v.progress(0, "building %s", strings.Join(v.Peers, ", "))
	ctx, cancel := context.WithTimeout(ctx, buildPatience)
	defer cancel()
	for _, p := range v.Peers {
		path := filepath.Join(dir, p)
		build := exec.CommandContext(ctx, "go", "build", "-o", path, "./"+p)
		build.Dir = v.Source
		if out, err := build.CombinedOutput(); err != nil {
			return nil, fmt.Errorf("building the peer %s: %w\n%s", p, err, out)
		}
		command := strconv.Quote(path) + " -listen {addr}"
		list = append(list, contender{name: p, command: command, secure: command + " -cert {cert} -key {key}"})
	}
	return list, nil
}

// measure runs one server and asks it one question.
func (v *Versus) measure(ctx context.Context, q *question, c contender, dir string, secret []byte) (Run, error) {
	port, err := freePort()
	if err != nil {
		return Run{}, err
	}
	command, scheme := q.command(c), "ws"
	if q.behind {
		addr, stop, err := v.upstream(ctx)
		defer stop()
		if err != nil {
			return Run{}, err
		}
		command = strings.ReplaceAll(command, "{upstream}", addr)
	}
	if q.secure {
		scheme = "wss"
	}
	path, token := q.path, Token{}
	if c.usher() {
		command += strings.ReplaceAll(q.flags, "{secret}", strconv.Quote(filepath.Join(dir, secretName)))
		path = cmp.Or(q.usherPath, path)
		if q.token != noToken {
			token = Token{Secret: secret, Shared: q.token == oneToken}
		}
	}
	r, err := q.ask(v, Common{
		URL:       scheme + "://127.0.0.1:" + strconv.Itoa(port) + path,
		Spawn:     command,
		Token:     token,
		Duration:  v.Duration,
		Warmup:    v.Duration / 4,
		PinServer: v.PinServer,
		PinClient: v.PinClient,
	})
	if err != nil {
		return Run{}, err
	}
	f := r.Figure(q.key)
	if f == nil {
		return Run{}, errors.New("no figure: " + r.Headline)
	}
	if f.Withheld != "" {
		return Run{}, errors.New("withheld: " + f.Withheld)
	}
	run := Run{Value: Number(f.Value), Faults: r.Faults.Total(), Headline: r.Headline}
	if rate := r.Figure("rate"); rate != nil && rate.Withheld == "" {
		run.Rate = rate.Value
	}
	if client := r.Figure("client_cpu_per"); client != nil {
		run.Client = client.Value
	}
	return run, nil
}

// upstream starts what proxies stand before, which is an echo of ours on the client's processors,
// and returns its address.
func (v *Versus) upstream(ctx context.Context) (addr string, stop func(), err error) {
	port, err := freePort()
	if err != nil {
		return "", func() {}, err
	}
	addr = net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
	doors, err := doorsOf(ctx, "ws://"+addr)
	if err != nil {
		return "", func() {}, err
	}
	f, err := spawn(ctx, strconv.Quote(v.Usher)+" serve --listen {addr} --echo /echo", doors, pair{}, v.PinClient)
	return addr, f.stop, err
}

func freePort() (int, error) {
	ln, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer ln.Close()
	return ln.Addr().(*net.TCPAddr).Port, nil
}

func (v *Versus) progress(done float64, format string, args ...any) {
	if v.Progress != nil {
		v.Progress(Progress{"versus", done, fmt.Sprintf(format, args...)})
	}
}
