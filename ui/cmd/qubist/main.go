// Command qubist is the console: the whole system on one screen, a client of the Admin API.
// It owns nothing; when it ends, qubes and tasks go on.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"syscall"

	"golang.org/x/term"

	"qubist/core/adminclient"
	"qubist/core/paths"
	"qubist/core/prompt"
	"qubist/ui/internal/action"
	"qubist/ui/internal/app"
	"qubist/ui/internal/demo"
	"qubist/ui/internal/keep"
	"qubist/ui/internal/live"
	"qubist/ui/internal/state"
)

type flags struct {
	root, socket string
	readOnly     bool
	noQuestions  bool
	demo         bool
}

func main() {
	var f flags
	flag.StringVar(&f.root, "root", "", "instance `directory` (default $QUBIST_ROOT, else the system's)")
	flag.StringVar(&f.socket, "socket", "", "Admin API socket `path` (default the instance's)")
	flag.BoolVar(&f.readOnly, "read-only", false, "look, but change nothing")
	flag.BoolVar(&f.noQuestions, "no-questions", false, "do not lend this terminal to waiting questions")
	flag.BoolVar(&f.demo, "demo", false, "show a throw-away system without guests, gone at the end")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGHUP, syscall.SIGINT)
	defer stop()
	if err := run(ctx, f); err != nil {
		fmt.Fprintln(os.Stderr, "qubist:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, f flags) error {
	if flag.NArg() > 0 {
		return fmt.Errorf("unexpected argument %q", flag.Arg(0))
	}
	if !term.IsTerminal(int(os.Stdout.Fd())) {
		return errors.New("standard output is not a terminal; for scripts there are the qvm- commands")
	}
	if f.demo {
		end, err := demonstrate(ctx, &f)
		if err != nil {
			return err
		}
		defer end()
	}
	p, err := paths.New(f.root)
	if err != nil {
		return err
	}
	if f.socket == "" {
		f.socket = p.QubesdSocket()
	}
	log, closeLog := openLog(p.Log)
	defer closeLog()

	ctx, cancel := context.WithCancel(ctx)
	client := adminclient.New(f.socket)
	picture := adminclient.Watch(ctx, client, log)
	defer picture.Wait()
	defer cancel()
	o := app.Options{
		Source:   live.NewSource(client, picture),
		Backend:  live.Backend{Client: client, Root: f.root},
		Instance: instance(f.root), Socket: f.socket, Root: f.root, Home: home(),
		ReadOnly: f.readOnly, Log: log,
	}
	if here, err := filepath.Abs(f.socket); err == nil && here == p.QubesdSocket() {
		o.Local = live.NewMachine(p)
	} else {
		o.Away = "This is seen only on the machine itself: the console talks to another server's socket."
	}
	closeLedger := remember(f, &o)
	defer closeLedger()
	if !f.noQuestions {
		questions := live.NewQuestions(ctx, p.PromptSocket(), prompt.Watch, log)
		defer questions.Wait()
		defer cancel()
		o.Questions = questions
		o.Attach = func(ctx context.Context) (*exec.Cmd, error) { return attach(ctx, f.root) }
	}
	return app.Run(ctx, o, os.Stdin, os.Stdout)
}

// remember gives o the list of changes that can be undone, also after this run. Without it
// the console works all the same.
func remember(f flags, o *app.Options) (end func()) {
	dir, err := paths.UserState(f.root)
	if err != nil {
		o.Notice = action.Sentence("Changes can be undone only until the console ends: " + err.Error())
		return func() {}
	}
	system, err := filepath.Abs(f.socket)
	if err != nil {
		system = f.socket
	}
	file, ledger, err := keep.Open(dir, system)
	if err != nil {
		o.Notice = action.Sentence("Earlier changes cannot be undone: " + err.Error())
		o.Log.Warn("no undo list", "err", err)
	}
	if file == nil {
		return func() {}
	}
	o.Ledger = ledger
	o.Keep = func(serial uint64, l state.Ledger) error { return file.Save(serial, system, l) }
	return func() { _ = file.Close() }
}

// demonstrate starts a demonstration and points f at it. It fills while it is watched.
func demonstrate(ctx context.Context, f *flags) (end func(), err error) {
	qubesd, err := live.Beside("qubesd")
	if err != nil {
		return nil, err
	}
	d, err := demo.Start(ctx, qubesd)
	if err != nil {
		return nil, err
	}
	f.root, f.noQuestions = d.Root, true
	if f.socket, err = d.Socket(); err != nil {
		d.Close()
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	filled := make(chan struct{})
	go func() {
		defer close(filled)
		if err := demo.Fill(ctx, adminclient.New(f.socket)); err != nil && ctx.Err() == nil {
			_ = os.WriteFile(filepath.Join(d.Root, "log", "demo.log"), []byte(err.Error()+"\n"), 0o600)
		}
	}()
	return func() {
		cancel()
		<-filled
		d.Close()
	}, nil
}

// attach is the question's front end on this terminal.
func attach(ctx context.Context, root string) (*exec.Cmd, error) {
	bin, err := live.Beside("qrexec-policy-agent")
	if err != nil {
		return nil, err
	}
	args := []string{"--attach", "--once"}
	if root != "" {
		args = append(args, "--root", root)
	}
	return exec.CommandContext(ctx, bin, args...), nil
}

// instance is the word for the header: the root's last element, or dom0 for the system's own.
func instance(root string) string {
	if root == "" {
		root = os.Getenv(paths.Default)
	}
	if root == "" {
		return "dom0"
	}
	return filepath.Base(root)
}

func home() string {
	if h, err := os.UserHomeDir(); err == nil {
		return h
	}
	return os.TempDir()
}

// openLog appends to qubist.log in dir. A console without a log is better than none, so a
// failure is not an error; nothing is ever logged to the terminal.
func openLog(dir string) (*slog.Logger, func()) {
	none := func() {}
	if os.MkdirAll(dir, 0o700) != nil {
		return slog.New(slog.DiscardHandler), none
	}
	f, err := os.OpenFile(filepath.Join(dir, "qubist.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return slog.New(slog.DiscardHandler), none
	}
	return slog.New(slog.NewTextHandler(f, nil)), func() { _ = f.Close() }
}
