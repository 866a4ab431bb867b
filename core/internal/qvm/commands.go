package qvm

import (
	"context"
	"fmt"
	"slices"
	"strings"
)

// command is one tool's table row; help, completion and manual pages are made of it.
type command struct {
	usage string
	about string // one sentence
	opts  []option
	acts  []action // sub-commands
	// words are what an argument can be: "vm", "vms", "property", "" for anything.
	words  string
	prefix string // of error messages; "" for "TOOL: error: "
	run    func(context.Context, *tool) error
}

// action is a sub-command; its first name is listed first.
type action struct {
	names []string
	args  string
	about string
	run   func(ctx context.Context, t *tool, args []string) error
}

func act(names, args, about string, run func(context.Context, *tool, []string) error) action {
	return action{strings.Split(names, ","), args, about, run}
}

func with(opts ...[]option) []option { return slices.Concat(opts...) }

func commands() map[string]command {
	m := map[string]command{
		"qvm-ls":         {usage: "[options] [VM…]", about: "List qubes and what they are set to.", opts: with(lsOptions, selectOptions), words: "vms", run: ls},
		"qvm-prefs":      {usage: "[options] VM [PROPERTY [VALUE]]", about: "Show or change the properties of a qube.", opts: prefsOptions, words: "vm", run: vmPrefs},
		"qubes-prefs":    {usage: "[options] [PROPERTY [VALUE]]", about: "Show or change the properties of the system.", opts: prefsOptions, run: systemPrefs},
		"qvm-create":     {usage: "[options] NAME", about: "Make a qube.", opts: createOptions, prefix: "app: Error creating VM: ", run: create},
		"qvm-clone":      {usage: "[options] SOURCE NAME", about: "Make a qube like another one, with its data.", opts: cloneOptions, words: "vm", run: clone},
		"qvm-remove":     {usage: "[options] VM…", about: "Remove qubes and their data.", opts: with([]option{sw("force,f", "do not ask"), sw("force-root", "ignored")}, selectOptions), words: "vms", run: remove},
		"qvm-start":      {usage: "[options] VM…", about: "Start qubes.", opts: with(startOptions, selectOptions), words: "vms", prefix: "Error: Starting qube failed: ", run: start},
		"qvm-shutdown":   {usage: "[options] VM…", about: "Shut qubes down in an orderly way.", opts: with(shutdownOptions, selectOptions), words: "vms", run: shutdown},
		"qvm-kill":       {usage: "[options] VM…", about: "End qubes at once.", opts: selectOptions, words: "vms", run: kill},
		"qvm-pause":      {usage: "[options] VM…", about: "Stop the processors of running qubes.", opts: with([]option{sw("suspend,S", "let the qube suspend itself")}, selectOptions), words: "vms", run: pause},
		"qvm-unpause":    {usage: "[options] VM…", about: "Let paused or suspended qubes run on.", opts: selectOptions, words: "vms", run: unpause},
		"qvm-run":        {usage: "[options] VM COMMAND [ARGUMENT…]", about: "Run a command or a service in qubes.", opts: with(runOptions, selectOptions), words: "vm", run: run},
		"qvm-check":      {usage: "[options] VM…", about: "Tell by the exit status whether qubes exist, or are of a kind.", opts: with(checkOptions, selectOptions), words: "vms", run: check},
		"qvm-features":   {usage: "[options] VM [FEATURE [VALUE]]", about: "Show or change the features of a qube.", opts: []option{deleteOption}, words: "vm", run: features},
		"qvm-service":    {usage: "[options] VM [SERVICE [on|off]]", about: "Show or change which services a qube starts.", opts: serviceOptions, words: "vm", run: service},
		"qvm-tags":       {usage: "VM [list|add|del] [TAG…]", about: "Show or change the tags of a qube.", acts: tagActions(), words: "vm", run: vmActions},
		"qvm-firewall":   {usage: "[options] VM [list|add|del|reset] [RULE…]", about: "Show or change what a qube may reach.", opts: firewallOptions, acts: firewallActions(), words: "vm", run: firewall},
		"qvm-notes":      {usage: "[options] VM", about: "Read and write the notes kept about a qube.", opts: notesOptions, words: "vm", run: notes},
		"qvm-volume":     {usage: "[options] [list|info|config|resize|revert|import|clone|clear] …", about: "Show and change the volumes of qubes.", opts: with(volumeOptions, selectOptions), acts: volumeActions(), prefix: "Error: ", run: anyActions},
		"qvm-pool":       {usage: "[options] [list|info|add|remove|set|drivers] …", about: "Show and change the pools that volumes lie in.", opts: poolOptions, acts: poolActions(), run: pool},
		"qvm-device":     {usage: "[options] CLASS [list|attach|detach|assign|unassign|info] …", about: "Show the devices of a class and give them to qubes.", opts: with(deviceOptions, selectOptions), acts: deviceActions(), prefix: "Error: ", run: device},
		"qubes-event":    {usage: "[options] [VM]", about: "Print events as they happen.", opts: eventOptions, words: "vm", run: events},
		"qvm-man":        {usage: "[DIRECTORY]", about: "Write the manual pages of all tools.", run: man},
		"qvm-completion": {usage: "bash|zsh|fish", about: "Write the completion script for a shell.", run: completion},
	}
	for _, class := range []string{"block", "usb", "pci"} {
		c := m["qvm-device"]
		c.usage = strings.Replace(c.usage, "CLASS ", "", 1)
		c.about = "Show " + class + " devices and give them to qubes."
		c.run = func(ctx context.Context, t *tool) error { return devices(ctx, t, class) }
		m["qvm-"+class] = c
	}
	return m
}

// Tools are the names qvm is installed under, sorted.
func Tools() []string {
	var out []string
	for n := range commands() {
		if n != "qvm-man" && n != "qvm-completion" {
			out = append(out, n)
		}
	}
	slices.Sort(out)
	return out
}

// options are those of the tool and those of all.
func (c command) options() []option { return with(c.opts, commonOptions) }

// action finds a sub-command.
func (c command) action(name string) (action, error) {
	for _, a := range c.acts {
		if slices.Contains(a.names, name) {
			return a, nil
		}
	}
	var names []string
	for _, a := range c.acts {
		names = append(names, "'"+a.names[0]+"'")
	}
	return action{}, usageError(fmt.Sprintf("argument COMMAND: invalid choice: '%s' (choose from %s)", name, strings.Join(names, ", ")))
}

// anyActions runs the sub-command that is the first argument, "list" when there is none.
func anyActions(ctx context.Context, t *tool) error {
	name, args := "list", t.args
	if len(args) > 0 {
		name, args = args[0], args[1:]
	}
	a, err := t.cmd.action(name)
	if err != nil {
		return err
	}
	return a.run(ctx, t, args)
}

// vmActions is anyActions for tools whose first argument is a qube. The sub-command gets
// the qube as its first argument.
func vmActions(ctx context.Context, t *tool) error {
	v, rest, err := t.one(ctx)
	if err != nil {
		return err
	}
	name := "list"
	if len(rest) > 0 {
		name, rest = rest[0], rest[1:]
	}
	a, err := t.cmd.action(name)
	if err != nil {
		return err
	}
	return a.run(ctx, t, append([]string{string(v.Name)}, rest...))
}

// help is the text of --help.
func (c command) help(name string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "usage: %s %s\n\n%s\n", name, c.usage, c.about)
	if len(c.acts) > 0 {
		b.WriteString("\ncommands:\n")
		for _, a := range c.acts {
			fmt.Fprintf(&b, "  %s %s\n        %s\n", strings.Join(a.names, "|"), a.args, a.about)
		}
	}
	b.WriteString("\noptions:\n")
	for _, o := range c.options() {
		fmt.Fprintf(&b, "  %s\n        %s\n", o.spelling(), o.help)
	}
	return b.String()
}

// about answers a call that names no tool.
func about(e Env, args []string) int {
	if len(args) == 1 && args[0] == "--list-tools" {
		fmt.Fprintln(e.Stdout, strings.Join(Tools(), "\n"))
		return exitOK
	}
	fmt.Fprintf(e.Stderr, "usage: qvm TOOL …\n       qvm man [DIRECTORY]\n       qvm completion bash|zsh|fish\n       qvm --list-tools\ntools: %s\n", strings.Join(Tools(), " "))
	return exitUsage
}
