package qvm

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strings"

	"qubist/core/adminapi"
	"qubist/core/adminclient"
	"qubist/core/qube"
)

var runOptions = []option{
	val("user,u", "USER", "run as this user of the qube"), sw("autostart,auto,a", "ignored: it is the default"), sw("no-autostart,no-auto,n", "do not start the qube"),
	sw("pass-io,p", "connect standard input, output and error"), val("localcmd", "COMMAND", "with --pass-io: connect this command of ours instead"),
	undo(sw("gui", "wait for the qube's session (default when there is a screen and no --pass-io)")),
	val("colour-output,color-output", "NUMBER", "colour of the output, as in ESC[NUMBERm"), val("colour-stderr,color-stderr", "NUMBER", "colour of the errors"),
	sw("no-colour-output,no-color-output", "no colour for the output"), sw("no-colour-stderr,no-color-stderr", "no colour for the errors"),
	undo(sw("filter-escape-chars", "replace what could command a terminal (default on a terminal)")),
	sw("service", "COMMAND names a qrexec service"), sw("no-shell", "COMMAND is a program, not for a shell"),
	loose(val("dispvm", "VM", "run in a new disposable made of VM, or of the default")),
}

// target is a qube a command is run in.
type target struct {
	vm         string
	disposable bool
}

// run runs a command in one or several qubes; its status is the highest of theirs.
func run(ctx context.Context, t *tool) error {
	words := t.args
	switch {
	case t.has("localcmd") && !t.has("pass-io"):
		return usageError("--localcmd has no effect without --pass-io")
	case t.has("service") && t.has("no-shell"):
		return usageError("--no-shell does not apply to --service")
	case t.has("dispvm") && (t.has("all") || t.has("exclude")):
		return usageError("--dispvm does not go together with --all and --exclude")
	case t.has("dispvm"):
		t.args = nil
	case t.has("all"):
		t.args = nil
	case len(words) == 0:
		return needed("VMNAME")
	default:
		t.args, words = words[:1], words[1:]
	}
	if len(words) == 0 {
		return needed("COMMAND")
	}
	if t.has("service") && len(words) > 1 {
		return usageError("--service takes exactly one service and no arguments")
	}
	if t.has("dispvm") {
		return t.runDisposable(ctx, words)
	}
	vms, err := t.selected(ctx, false)
	if err != nil {
		return err
	}
	if t.has("all") {
		vms = running(vms)
	}
	status := 0
	for _, code := range t.inAll(ctx, vms, words) {
		status = max(status, code)
	}
	return statusError(status)
}

func running(vms []adminclient.ListedVM) (out []adminclient.ListedVM) {
	for _, v := range vms {
		if v.State == qube.Running && v.Class != qube.RemoteVM {
			out = append(out, v)
		}
	}
	return out
}

// inAll runs the command in all qubes at once and gives the exit statuses; what could not
// be run counts as 1.
func (t *tool) inAll(ctx context.Context, vms []adminclient.ListedVM, words []string) []int {
	codes := make([]int, len(vms))
	index := map[string]int{}
	for i, v := range vms {
		index[string(v.Name)] = i
	}
	for i, err := range try(ctx, vms, func(ctx context.Context, v adminclient.ListedVM) (err error) {
		codes[index[string(v.Name)]], err = t.inOne(ctx, v, words)
		return err
	}) {
		if err != nil {
			t.complain(fmt.Errorf("%s: %w", vms[i].Name, err))
			codes[i] = exitError
		}
	}
	return codes
}

func (t *tool) inOne(ctx context.Context, v adminclient.ListedVM, words []string) (int, error) {
	vm := string(v.Name)
	r, err := t.prepare(ctx, target{vm: vm}, words)
	if err != nil {
		return 0, err
	}
	switch {
	case t.has("no-autostart") && v.State != qube.Running && v.State != qube.Transient:
		return 0, plainError("the qube does not run")
	case t.has("no-autostart"):
	case v.State == qube.Paused:
		if err := t.c.Unpause(ctx, vm); err != nil {
			return 0, err
		}
	default:
		if err := t.c.Start(ctx, vm); err != nil && !isKind(err, adminapi.VMNotHalted) {
			return 0, err
		}
	}
	return t.execute(ctx, r)
}

func statusError(code int) error {
	if code == 0 {
		return nil
	}
	return exitStatus(code)
}

// runDisposable makes a disposable for the command and ends it afterwards.
func (t *tool) runDisposable(ctx context.Context, words []string) (err error) {
	template := t.get("dispvm")
	if template == "" {
		p, err := t.c.Property(ctx, "", "default_dispvm")
		if err != nil {
			return err
		}
		if template = p.Value; template == "" {
			return plainError("there is no default template for disposables")
		}
	}
	r, err := t.prepare(ctx, target{template, true}, words)
	if err != nil {
		return err
	}
	n, err := t.c.CreateDisposable(ctx, t.get("dispvm"))
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
	r.VM = string(n)
	code, err := t.execute(ctx, r)
	if err != nil {
		return err
	}
	return statusError(code)
}

// prepare chooses the service that runs the command (spec cli.md §2): qubes.VMExec, whose
// words no shell reads, when there are several and the qube knows it; else qubes.VMShell,
// which reads commands from its input.
func (t *tool) prepare(ctx context.Context, to target, words []string) (adminclient.Run, error) {
	r := adminclient.Run{VM: to.vm, User: t.get("user"), Root: t.root}
	if t.has("service") {
		return t.asService(r, words[0]), nil
	}
	feature := func(name string) (string, error) {
		b, err := t.c.Call(ctx, "admin.vm.feature.CheckWithTemplate", to.vm, name, nil)
		if isKind(err, adminapi.FeatureNotFound) {
			err = nil
		}
		return string(b), err
	}
	gui := t.has("gui") || t.Display && !t.has("no-gui") && !t.has("pass-io")
	root := ""
	if r.User == "root" {
		var err error
		if root, err = feature("supported-rpc.qubes.VMRootExec"); err != nil {
			return r, err
		}
	}
	service := "qubes.VMShell"
	if len(words) > 1 || t.has("no-shell") {
		exec, err := feature("vmexec")
		if err != nil {
			return r, err
		}
		if exec != "" {
			service = "qubes.VMExec"
			if gui && to.disposable {
				service = "qubes.VMExecGUI"
			} else if root != "" {
				service, r.User = "qubes.VMRootExec", ""
			}
			r.WaitSession = gui && !to.disposable
			return t.asService(r, service+"+"+vmexec(words)), nil
		}
		for i, w := range words {
			words[i] = "'" + strings.ReplaceAll(w, "'", `'"'"'`) + "'"
		}
	}
	if gui && to.disposable {
		service += "+WaitForSession"
	} else if root != "" {
		service, r.User = "qubes.VMRootShell", ""
	}
	r.WaitSession = gui && !to.disposable
	os, err := feature("os")
	if err != nil {
		return r, err
	}
	r.Prefix = strings.Join(words, " ") + "; exit\n"
	if os == "Windows" {
		r.Prefix = strings.Join(words, " ") + "& exit\n"
	}
	return t.asService(r, service), nil
}

func (t *tool) asService(r adminclient.Run, service string) adminclient.Run {
	r.Command = "QUBESRPC " + service + " dom0"
	return r
}

// vmexec writes words for the argument of qubes.VMExec: joined by '+', "--" for '-', "-HH"
// for other bytes than letters, digits, '.' and '_'.
func vmexec(words []string) string {
	var b strings.Builder
	for i, w := range words {
		if i > 0 {
			b.WriteByte('+')
		}
		for j := 0; j < len(w); j++ {
			switch c := w[j]; {
			case c == '-':
				b.WriteString("--")
			case c == '.' || c == '_' || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z':
				b.WriteByte(c)
			default:
				fmt.Fprintf(&b, "-%02X", c)
			}
		}
	}
	return b.String()
}

// execute runs what prepare made, connected as the switches say.
func (t *tool) execute(ctx context.Context, r adminclient.Run) (int, error) {
	if !t.has("pass-io") {
		r.NoWait = t.has("service") && !t.has("dispvm")
		return t.Run(ctx, r)
	}
	if t.has("localcmd") {
		return t.withLocal(ctx, r)
	}
	r.Stdin, r.Stdout, r.Stderr = t.Stdin, t.Stdout, t.Stderr
	out, errs := terminal(t.Stdout), terminal(t.Stderr)
	if t.has("filter-escape-chars") || out && !t.has("no-filter-escape-chars") {
		r.Stdout = filter{t.Stdout}
	}
	if t.has("filter-escape-chars") || errs && !t.has("no-filter-escape-chars") {
		r.Stderr = filter{t.Stderr}
	}
	defer t.colour(t.Stdout, "output", out)()
	defer t.colour(t.Stderr, "stderr", errs)()
	return t.Run(ctx, r)
}

// withLocal connects a command of ours to the one in the qube.
func (t *tool) withLocal(ctx context.Context, r adminclient.Run) (int, error) {
	cmd := exec.CommandContext(ctx, "sh", "-c", t.get("localcmd"))
	cmd.Stderr = t.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		return 0, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return 0, err
	}
	if err := cmd.Start(); err != nil {
		return 0, fmt.Errorf("running the local command: %w", err)
	}
	r.Stdin, r.Stdout, r.Stderr = out, in, t.Stderr
	code, err := t.Run(ctx, r)
	in.Close()
	if werr := cmd.Wait(); err == nil && werr != nil {
		err = fmt.Errorf("running the local command: %w", werr)
	}
	return code, err
}

// colour sets the colour of a stream and returns what resets it. Output on a terminal is
// red unless another colour is asked for, so that a qube cannot pass for dom0.
func (t *tool) colour(w io.Writer, name string, terminal bool) func() {
	number := t.get("colour-" + name)
	if number == "" && terminal {
		number = "31"
	}
	if number == "" || t.has("no-colour-"+name) || strings.Trim(number, "0123456789;") != "" {
		return func() {}
	}
	fmt.Fprintf(w, "\x1b[0;%sm", number)
	return func() { fmt.Fprint(w, "\x1b[0m") }
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
