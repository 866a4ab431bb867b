package action

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"qubist/core/qube"
	"qubist/ui/internal/state"
)

// terminalCommand is what "open a terminal" runs.
const terminalCommand = "xterm"

var terminal = Action{
	ID: "terminal", Key: "t", Title: "terminal", Help: "open an xterm in the qube; starts it if needed",
	Why: RunWhy,
	Job: func(e Env, q state.Qube) Job { return RunJob(e, q, terminalCommand) },
}

var disposableTerminal = Action{
	ID: "disposable-terminal", Key: "T", Title: "disposable", Help: "open an xterm in a fresh disposable of this template, or of the default one",
	Why: func(e Env, q state.Qube) string {
		_, why := DisposableTemplate(e, q)
		return why
	},
	Job: func(e Env, q state.Qube) Job {
		template, _ := DisposableTemplate(e, q)
		return DisposableJob(e, template, terminalCommand)
	},
}

// RunWhy says why no command can be run in q, "" when one can.
func RunWhy(e Env, q state.Qube) string {
	if why := e.forbids(q); why != "" {
		return why
	}
	switch {
	case q.Phase == state.Paused, q.Phase == state.Suspended:
		return fmt.Sprintf("%s is %s; unpause it first (P).", q.Name, q.Phase)
	case q.Phase == state.Halting, q.Phase == state.Crashed:
		return fmt.Sprintf("%s is %s.", q.Name, q.Phase)
	}
	return e.busy(q)
}

// RunJob runs command in q as its default user; a halted qube is started first.
func RunJob(e Env, q state.Qube, command string) Job {
	up := q.Phase.Active()
	j := Job{
		Doing: fmt.Sprintf("running %s in %s", command, q.Name), Done: fmt.Sprintf("%s runs in %s", command, q.Name),
		Failed: fmt.Sprintf("%s could not be run in %s", command, q.Name), Qube: q.Name, Timeout: time.Minute,
		Command: e.line("qvm-run", q.Name, Quote(command)), Call: "qrexec to " + q.Name,
	}
	if !up {
		j.Phase, j.Timeout, j.Call = "starting", slow, "admin.vm.Start "+q.Name+", then qrexec"
	}
	j.Run = func(ctx context.Context, b Backend) error {
		if !up {
			if err := b.Start(ctx, q.Name); err != nil {
				return fmt.Errorf("starting %s: %w", q.Name, err)
			}
		}
		return b.Run(ctx, q.Name, command)
	}
	return j
}

// DisposableTemplate is the template that a disposable asked for at q comes from: q itself,
// q's own default, or the system's; or why there is none.
func DisposableTemplate(e Env, q state.Qube) (name, why string) {
	if why := e.Changes(); why != "" {
		return "", why
	}
	if q.True("template_for_dispvms") {
		return q.Name, ""
	}
	if q.Class == "DispVM" && q.Template != "" {
		return q.Template, ""
	}
	if d := q.Prop("default_dispvm"); d != "" {
		return d, ""
	}
	if d := e.System.Global("default_dispvm"); d != "" {
		return d, ""
	}
	return "", "There is no disposable template: no qube has template_for_dispvms, and default_dispvm is not set."
}

// DisposableJob runs command in a fresh disposable of template.
func DisposableJob(e Env, template, command string) Job {
	return Job{
		Doing: fmt.Sprintf("preparing a disposable of %s", template), Done: fmt.Sprintf("%s in a disposable of %s has ended", command, template),
		Failed:  fmt.Sprintf("No disposable of %s could run %s", template, command),
		Command: e.line("qvm-run", "--dispvm="+template, "--", Quote(command)),
		Call:    "admin.vm.CreateDisposable " + template,
		Timeout: 24 * time.Hour,
		Run:     func(ctx context.Context, b Backend) error { return b.Disposable(ctx, template, command) },
	}
}

// ScreenshotJob saves the desktop as a picture.
func ScreenshotJob(e Env, file string) Job {
	return Job{
		Doing: "taking a picture of the desktop", Done: "saved the desktop to " + file,
		Failed: "The desktop could not be saved", Timeout: quick,
		Command: e.line("qubist-screenshot", Quote(file)),
		Run:     func(ctx context.Context, b Backend) error { return b.Screenshot(ctx, file) },
	}
}

// ScreenshotFile is the default file name in dir at this time.
func ScreenshotFile(dir string, now time.Time) string {
	return filepath.Join(dir, "qubist-"+now.Format("20060102-150405")+".png")
}

// CreateJob makes a new qube. The name has been checked.
func CreateJob(e Env, class qube.Class, name qube.Name, label, template string) Job {
	line := []string{"--class", string(class), "--label", label}
	if template != "" {
		line = append(line, "--template", template)
	}
	return Job{
		Doing: "creating " + string(name), Done: "created " + string(name), Failed: string(name) + " was not created", Timeout: slow,
		Command: e.line("qvm-create", append(line, string(name))...), Call: "admin.vm.Create." + string(class) + "+" + template,
		Run: func(ctx context.Context, b Backend) error { return b.Create(ctx, class, name, label, template) },
	}
}

// EditWhy says why a property cannot be edited, "" when it can be tried.
func EditWhy(e Env, q state.Qube, property string) string {
	if why := e.Changes(); why != "" {
		return why
	}
	switch property {
	case "name", "qid", "uuid", "klass":
		return fmt.Sprintf("%s is fixed when a qube is created.", property)
	case "xid", "stubdom_xid", "stubdom_uuid", "start_time", "icon", "ip", "gateway", "visible_ip", "visible_gateway", "visible_netmask", "updateable":
		return fmt.Sprintf("%s follows from the qube's state and other properties.", property)
	}
	return ""
}

// line is a command line, for the instance the shell has in QUBIST_ROOT.
func (Env) line(program string, args ...string) string {
	return strings.Join(append([]string{program}, args...), " ")
}

// Portable is a command line that means the same in any shell: with the instance it is for.
func (e Env) Portable(line string) string {
	if e.Root == "" || line == "" {
		return line
	}
	return "(export QUBIST_ROOT=" + Quote(e.Root) + "; " + line + ")"
}

// Quote makes one shell word of s.
func Quote(s string) string {
	plain := s != ""
	for _, r := range s {
		if !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("_-./:,@%+=", r)) {
			plain = false
		}
	}
	if plain {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}
