// Package policyd is the policy daemon: it answers the qrexec daemons' requests from the
// current policy and the current qubes, asks the user where a rule says so, and tells the
// user of outcomes. What a rule means is decided in qrexec/policy, what the bytes mean in
// policywire and core/prompt/wire.
//
// The caller is trusted for the source's name only; every failure denies, with one line in
// the log.
package policyd

import (
	"context"
	"io/fs"
	"log/slog"
	"sync"
	"time"

	"qubist/core/logbound"
	"qubist/qrexec/policy"
)

// Config is what a Daemon works with. All fields but RuleInQuestions are needed.
type Config struct {
	FS   fs.FS // the root of Dirs and of absolute include paths
	Dirs policy.Dirs

	// System returns the JSON of internal.GetSystemInfo.
	System func(ctx context.Context) ([]byte, error)
	// AgentSocket is where policy.Ask and policy.Notify of dom0's agent are called.
	AgentSocket string
	// RunInQube calls a command line of qrexec-client in another GuiVM as its default user
	// and returns its output; an exit status other than 0 is an error.
	RunInQube func(ctx context.Context, vm, command string, stdin []byte) ([]byte, error)
	// RuleInQuestions adds the deciding rule's place to questions to dom0's agent, a key
	// that agents of the original ignore.
	RuleInQuestions bool

	Log *slog.Logger
	Now func() time.Time
}

// Daemon answers policy requests. Make one with New.
type Daemon struct {
	cfg    Config
	rules  rules
	system system
	asking counter
	lines  lines
}

// maxTalkers bounds the qubes whose log lines are counted; beyond it counting starts anew.
const maxTalkers = 1024

// lines bounds what is logged of each qube's calls by itself, so that one that floods the
// log does not hide what another does.
type lines struct {
	mu sync.Mutex
	of map[string]*logbound.Bucket
}

func (l *lines) take(source string, now time.Time) (ok bool, omitted int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.of == nil || len(l.of) >= maxTalkers {
		l.of = map[string]*logbound.Bucket{}
	}
	b := l.of[source]
	if b == nil {
		b = &logbound.Bucket{}
		l.of[source] = b
	}
	return b.Take(now)
}

// New loads the policy. It fails when the policy is broken: a daemon does not start with a
// broken policy, though it survives one that breaks later.
func New(cfg Config) (*Daemon, error) {
	d := &Daemon{
		cfg:    cfg,
		rules:  rules{fsys: cfg.FS, dirs: cfg.Dirs, now: cfg.Now},
		system: system{fetch: cfg.System},
		asking: counter{limit: maxAsking, open: map[string]int{}},
	}
	if _, err := d.rules.get(); err != nil {
		return nil, err
	}
	return d, nil
}

// counter bounds how many things one qube has open.
type counter struct {
	limit int
	mu    sync.Mutex
	open  map[string]int
}

func (c *counter) enter(name string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.open[name] >= c.limit {
		return false
	}
	c.open[name]++
	return true
}

func (c *counter) leave(name string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.open[name]--; c.open[name] == 0 {
		delete(c.open, name)
	}
}
