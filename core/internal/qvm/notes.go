package qvm

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"

	"qubist/core/safetext"
)

var notesOptions = []option{
	sw("edit,e", "edit them with $EDITOR"), sw("print,p", "print them"), val("import,i", "FILE", "take them from a file, - for standard input"),
	val("set,s", "TEXT", "replace them"), val("append", "TEXT", "add to them"), sw("delete,d", "remove them"), sw("force,f", "do not ask"),
}

// maxNotes is what qubesd takes at most in one request, less the request's head.
const maxNotes = 65000

func notes(ctx context.Context, t *tool) error {
	v, rest, err := t.one(ctx)
	if err != nil {
		return err
	}
	if len(rest) > 0 {
		return usageError("unrecognized arguments: " + strings.Join(rest, " "))
	}
	vm := string(v.Name)
	put := func(s string) error {
		if len(s) > maxNotes {
			return plainError(fmt.Sprintf("notes are too long: %d bytes, at most %d", len(s), maxNotes))
		}
		return t.call(ctx, "admin.vm.notes.Set", vm, "", s)
	}
	get := func() (string, error) {
		b, err := t.c.Call(ctx, "admin.vm.notes.Get", vm, "", nil)
		return string(b), err
	}
	switch {
	case t.has("set"):
		return put(t.get("set"))
	case t.has("import"):
		s, err := t.readNotes(t.get("import"))
		if err != nil {
			return err
		}
		return put(s)
	case t.has("delete"):
		if err := t.confirm("This removes the notes of " + vm + "."); err != nil {
			return err
		}
		return put("")
	}
	old, err := get()
	switch {
	case err != nil:
		return err
	case t.has("print"):
		return t.show(old, func() {
			for l := range strings.SplitSeq(strings.TrimSuffix(old, "\n"), "\n") {
				fmt.Fprintln(t.Stdout, safetext.Line(strings.ReplaceAll(l, "\t", "    "), 0))
			}
		})
	case t.has("append"):
		if old != "" && !strings.HasSuffix(old, "\n") {
			old += "\n"
		}
		return put(old + t.get("append"))
	}
	text, err := t.edit(ctx, old)
	if err != nil || text == old {
		return err
	}
	return put(text)
}

func (t *tool) readNotes(file string) (string, error) {
	r := t.Stdin
	if file != "-" {
		f, err := os.Open(file)
		if err != nil {
			return "", fmt.Errorf("reading notes: %w", err)
		}
		defer f.Close()
		r = f
	}
	b, err := io.ReadAll(io.LimitReader(r, maxNotes+1))
	return string(b), err
}

// edit lets the user change a text in an editor.
func (t *tool) edit(ctx context.Context, text string) (string, error) {
	f, err := os.CreateTemp("", "qvm-notes-*.txt")
	if err != nil {
		return "", fmt.Errorf("editing notes: %w", err)
	}
	defer os.Remove(f.Name())
	_, err = f.WriteString(text)
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return "", fmt.Errorf("editing notes: %w", err)
	}
	editor := os.Getenv("VISUAL")
	if editor == "" {
		editor = os.Getenv("EDITOR")
	}
	if editor == "" {
		editor = "vi"
	}
	cmd := exec.CommandContext(ctx, "sh", "-c", editor+` "$1"`, "sh", f.Name())
	cmd.Stdin, cmd.Stdout, cmd.Stderr = t.Stdin, t.Stdout, t.Stderr
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("running the editor %s: %w", editor, err)
	}
	return t.readNotes(f.Name())
}
