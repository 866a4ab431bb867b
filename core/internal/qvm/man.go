package qvm

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// man writes a manual page for each tool, in the language of man(7), into a directory.
func man(_ context.Context, t *tool) error {
	if len(t.args) > 1 {
		return usageError("only one directory can be named")
	}
	dir := "."
	if len(t.args) == 1 {
		dir = t.args[0]
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("writing manual pages: %w", err)
	}
	all := commands()
	for _, name := range Tools() {
		if err := os.WriteFile(filepath.Join(dir, name+".1"), []byte(all[name].page(name)), 0o644); err != nil {
			return fmt.Errorf("writing manual pages: %w", err)
		}
	}
	return nil
}

// page is one manual page.
func (c command) page(name string) string {
	var b strings.Builder
	fmt.Fprintf(&b, ".TH %s 1\n.SH NAME\n%s \\- %s\n", roff(strings.ToUpper(name)), roff(name), roff(strings.ToLower(c.about[:1])+strings.TrimSuffix(c.about[1:], ".")))
	fmt.Fprintf(&b, ".SH SYNOPSIS\n.B %s\n%s\n", roff(name), roff(c.usage))
	fmt.Fprintf(&b, ".SH DESCRIPTION\n%s\n", roff(c.about))
	if len(c.acts) > 0 {
		b.WriteString(".SH COMMANDS\n")
		for _, a := range c.acts {
			fmt.Fprintf(&b, ".TP\n.B %s\n%s\n", roff(strings.TrimSpace(strings.Join(a.names, "|")+" "+a.args)), roff(a.about))
		}
	}
	b.WriteString(".SH OPTIONS\n")
	for _, o := range c.options() {
		fmt.Fprintf(&b, ".TP\n.B %s\n%s\n", roff(o.spelling()), roff(o.help))
	}
	b.WriteString(".SH EXIT STATUS\n0 when all went well, 1 when something failed, 2 when the command line is wrong.\n")
	return b.String()
}

// roff protects what roff would take for its own.
func roff(s string) string {
	s = strings.NewReplacer(`\`, `\e`, "-", `\-`, "…", "...").Replace(s)
	if strings.HasPrefix(s, ".") || strings.HasPrefix(s, "'") {
		s = `\&` + s
	}
	return s
}

// completion writes a script that completes names of qubes, switches and sub-commands.
func completion(_ context.Context, t *tool) error {
	if len(t.args) != 1 {
		return needed("bash|zsh|fish")
	}
	write := map[string]func(*tool){"bash": (*tool).bash, "zsh": (*tool).zsh, "fish": (*tool).fish}[t.args[0]]
	if write == nil {
		return usageError("argument SHELL: invalid choice: '" + t.args[0] + "' (choose from 'bash', 'zsh', 'fish')")
	}
	write(t)
	return nil
}

// words are what completion offers: switches, and names of sub-commands.
func (c command) completions() (switches, acts []string) {
	for _, o := range c.options() {
		for _, n := range o.names {
			if len(n) > 1 {
				switches = append(switches, "--"+n)
			}
			if len(n) > 1 && o.no {
				switches = append(switches, "--no-"+n)
			}
		}
	}
	for _, a := range c.acts {
		acts = append(acts, a.names[0])
	}
	slices.Sort(switches)
	return switches, acts
}

// listNames is the command that completion takes names of qubes from.
const listNames = "qvm-ls --raw-list 2>/dev/null"

func (t *tool) bash() {
	fmt.Fprint(t.Stdout, "_qvm() {\n\tlocal cur=${COMP_WORDS[COMP_CWORD]} switches= words=\n\tcase ${COMP_WORDS[0]##*/} in\n")
	all := commands()
	for _, name := range Tools() {
		switches, acts := all[name].completions()
		fmt.Fprintf(t.Stdout, "\t%s) switches='%s' words='%s' ;;\n", name, strings.Join(switches, " "), strings.Join(acts, " "))
	}
	fmt.Fprintf(t.Stdout, "\tesac\n\tcase $cur in\n\t-*) COMPREPLY=($(compgen -W \"$switches\" -- \"$cur\")) ;;\n\t*) COMPREPLY=($(compgen -W \"$words $(%s)\" -- \"$cur\")) ;;\n\tesac\n}\ncomplete -F _qvm %s\n", listNames, strings.Join(Tools(), " "))
}

func (t *tool) zsh() {
	fmt.Fprintf(t.Stdout, "#compdef %s\n_qvm() {\n\tlocal -a switches words\n\tcase $service in\n", strings.Join(Tools(), " "))
	all := commands()
	for _, name := range Tools() {
		switches, acts := all[name].completions()
		fmt.Fprintf(t.Stdout, "\t%s) switches=(%s) words=(%s) ;;\n", name, strings.Join(switches, " "), strings.Join(acts, " "))
	}
	fmt.Fprintf(t.Stdout, "\tesac\n\tif [[ $PREFIX == -* ]]; then\n\t\tcompadd -- $switches\n\telse\n\t\tcompadd -- $words ${(f)\"$(%s)\"}\n\tfi\n}\ncompdef _qvm %s\n", listNames, strings.Join(Tools(), " "))
}

func (t *tool) fish() {
	all := commands()
	quote := func(s string) string { return "'" + strings.NewReplacer(`\`, `\\`, "'", `\'`).Replace(s) + "'" }
	for _, name := range Tools() {
		fmt.Fprintf(t.Stdout, "complete -c %s -f -a %s\n", name, quote("("+listNames+")"))
		for _, a := range all[name].acts {
			fmt.Fprintf(t.Stdout, "complete -c %s -n __fish_use_subcommand -a %s -d %s\n", name, a.names[0], quote(a.about))
		}
		for _, o := range all[name].options() {
			for _, n := range o.names {
				if len(n) > 1 {
					fmt.Fprintf(t.Stdout, "complete -c %s -l %s -d %s\n", name, n, quote(o.help))
				} else {
					fmt.Fprintf(t.Stdout, "complete -c %s -s %s\n", name, n)
				}
			}
		}
	}
}
