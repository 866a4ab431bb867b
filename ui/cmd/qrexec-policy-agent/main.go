// Command qrexec-policy-agent asks the user about qrexec calls.
//
//	qrexec-policy-agent [--root DIR] [--ready-fd N] [--timeout D] [--terminal PROGRAM]
//	qrexec-policy-agent [--root DIR] --attach [--once]
//
// The first form is the agent: it queues questions and opens a terminal window for them
// when no front end is there. The second is a front end on the present terminal.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	"time"

	"qubist/core/paths"
	"qubist/ui/internal/prompt"
	"qubist/ui/internal/promptd"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "qrexec-policy-agent:", err)
		os.Exit(1)
	}
}

func run() error {
	root := flag.String("root", "", "directory of the `instance`")
	readyFD := flag.Int("ready-fd", -1, "write READY to this `descriptor` once serving")
	timeout := flag.Duration("timeout", time.Minute, "deny a question after this `time`")
	terminal := flag.String("terminal", "xterm", "`program` that opens a window and runs what follows -e; empty for none")
	attach := flag.Bool("attach", false, "show questions on this terminal")
	once := flag.Bool("once", false, "with --attach: leave when no question is open")
	flag.Parse()
	if flag.NArg() > 0 {
		return fmt.Errorf("unexpected argument %q", flag.Arg(0))
	}
	p, err := paths.New(*root)
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGHUP, os.Interrupt)
	defer stop()
	if *attach {
		return prompt.Run(ctx, prompt.Options{Socket: p.PromptSocket(), Once: *once})
	}
	return serve(ctx, p, *root, *readyFD, *timeout, *terminal)
}

func serve(ctx context.Context, p paths.Paths, root string, readyFD int, timeout time.Duration, terminal string) error {
	cfg := promptd.Config{Timeout: timeout, Grace: 3 * time.Second, Log: slog.New(slog.NewTextHandler(os.Stderr, nil))}
	if terminal != "" {
		self, err := os.Executable()
		if err != nil {
			return fmt.Errorf("finding this program: %w", err)
		}
		command := []string{self}
		if root != "" {
			command = append(command, "--root", root)
		}
		cfg.Open = promptd.Terminal{Program: terminal, Command: append(command, "--attach", "--once"), DisplayFile: p.DisplayFile()}.Open
	}
	agent, err := promptd.Listen(p.PolicyAgentSocket())
	if err != nil {
		return err
	}
	screens, err := promptd.Listen(p.PromptSocket())
	if err != nil {
		return err
	}
	if readyFD >= 0 {
		if err := ready(os.NewFile(uintptr(readyFD), "ready")); err != nil {
			return err
		}
	}
	return promptd.New(cfg).Serve(ctx, agent, screens)
}

func ready(w io.WriteCloser) error {
	defer w.Close()
	if _, err := io.WriteString(w, "READY\n"); err != nil {
		return fmt.Errorf("telling that the agent is ready: %w", err)
	}
	return nil
}
