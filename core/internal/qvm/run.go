package qvm

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"qubist/core/adminapi"
	"qubist/core/adminclient"
	"qubist/core/qube"
	"qubist/core/safetext"
)

var runOptions = append([]option{
	{long: "user", short: 'u', value: true}, {long: "autostart", short: 'a', no: true}, {short: 'n', long: "no-autostart"}, {long: "pass-io", short: 'p'},
	{long: "gui", no: true}, {long: "service"}, {long: "no-shell"}, {long: "dispvm"}, {long: "filter-escape-chars", no: true}, {long: "color-output", value: true}, {long: "colour-output", value: true},
}, selectOptions...)

// run runs a command in one or several qubes; its status is the highest of theirs.
func run(ctx context.Context, t *tool) error {
	if t.has("dispvm") {
		return runDisposable(ctx, t)
	}
	names := t.args
	var words []string
	if !t.has("all") {
		if len(names) == 0 {
			return usageError("the following arguments are required: VMNAME")
		}
		names, words = names[:1], names[1:]
	} else {
		names, words = nil, names
	}
	if len(words) == 0 {
		return usageError("the following arguments are required: COMMAND")
	}
	t.args = names
	vms, err := t.selected(ctx, false)
	if err != nil {
		return err
	}
	status := 0
	for _, v := range vms {
		if t.has("all") && v.State != qube.Running {
			continue
		}
		if !t.has("no-autostart") {
			if err := t.c.Start(ctx, string(v.Name)); err != nil && !isKind(err, adminapi.VMNotHalted) {
				return fmt.Errorf("starting %s: %w", v.Name, err)
			}
		} else if v.State != qube.Running && v.State != qube.Transient {
			return fmt.Errorf("qube '%s' is not running", v.Name)
		}
		code, err := t.exec(ctx, string(v.Name), words)
		if err != nil {
			return err
		}
		status = max(status, code)
	}
	return statusError(status)
}

func statusError(code int) error {
	if code == 0 {
		return nil
	}
	return exitStatus(code)
}

// runDisposable makes a disposable for the command and removes it afterwards.
func runDisposable(ctx context.Context, t *tool) (err error) {
	if len(t.args) == 0 {
		return usageError("the following arguments are required: COMMAND")
	}
	template := t.get("dispvm")
	if template == "1" { // given without a value
		template = ""
	}
	n, err := t.c.CreateDisposable(ctx, template)
	if err != nil {
		return err
	}
	defer func() {
		// It is removed when it stops; one that never ran has to be removed here.
		kerr := t.c.Kill(context.WithoutCancel(ctx), string(n))
		if isKind(kerr, adminapi.VMNotStarted) {
			kerr = t.c.Remove(context.WithoutCancel(ctx), string(n))
		}
		if kerr != nil && !isKind(kerr, adminapi.VMNotFound) && err == nil {
			err = fmt.Errorf("removing %s: %w", n, kerr)
		}
	}()
	if err := t.c.Start(ctx, string(n)); err != nil {
		return fmt.Errorf("starting %s: %w", n, err)
	}
	code, err := t.exec(ctx, string(n), t.args)
	if err != nil {
		return err
	}
	return statusError(code)
}

// exec runs the command of words in a qube that runs. Without --pass-io the command is
// started with no streams of ours, but awaited all the same in a disposable.
func (t *tool) exec(ctx context.Context, vm string, words []string) (int, error) {
	command := strings.Join(words, " ")
	switch {
	case t.has("service"):
		if len(words) != 1 {
			return 0, usageError("with --service exactly one service is needed")
		}
		command = "QUBESRPC " + words[0] + " dom0"
	case len(words) > 1 || t.has("no-shell"):
		quoted := make([]string, len(words))
		for i, w := range words {
			quoted[i] = "'" + strings.ReplaceAll(w, "'", `'\''`) + "'"
		}
		command = strings.Join(quoted, " ")
	}
	r := adminclient.Run{VM: vm, User: t.get("user"), Command: command, Root: t.root}
	// A command with streams is taken for one without windows unless told otherwise.
	r.WaitSession = !t.has("service") && !t.has("no-gui") && (t.has("gui") || !t.has("pass-io"))
	if !t.has("pass-io") {
		r.NoWait = !t.has("dispvm")
		return t.Run(ctx, r)
	}
	r.Stdin, r.Stdout, r.Stderr = t.Stdin, t.Stdout, t.Stderr
	if terminal(t.Stdout) && !t.has("no-filter-escape-chars") || t.has("filter-escape-chars") {
		r.Stdout = filter{t.Stdout}
	}
	if terminal(t.Stderr) && !t.has("no-filter-escape-chars") || t.has("filter-escape-chars") {
		r.Stderr = filter{t.Stderr}
	}
	return t.Run(ctx, r)
}

func terminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	st, err := f.Stat()
	return err == nil && st.Mode()&os.ModeCharDevice != 0
}

// filter replaces what could command a terminal: everything outside 0x20 to 0x7e but tab,
// newline, carriage return, backspace and bell (spec qrexec.md §7).
type filter struct{ w io.Writer }

func (f filter) Write(b []byte) (int, error) {
	out := make([]byte, len(b))
	for i, c := range b {
		if (c < 0x20 || c > 0x7e) && c != '\t' && c != '\n' && c != '\r' && c != '\b' && c != '\a' {
			c = '_'
		}
		out[i] = c
	}
	n, err := f.w.Write(out)
	if err == nil && n < len(out) {
		err = errors.New("short write")
	}
	return n, err
}

// safe passes every cell of rows through safetext.
func safe(rows [][]string) [][]string {
	for _, r := range rows {
		for i := range r {
			r[i] = safetext.Line(r[i], maxMessage)
		}
	}
	return rows
}
