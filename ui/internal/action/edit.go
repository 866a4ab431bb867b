package action

import (
	"context"

	"qubist/core/adminapi"
	"qubist/ui/internal/state"
)

// SetJob sets a property of owner, a qube's name or "" for the system.
func SetJob(e Env, owner, property, value string) Job {
	return e.edit(state.Edit{Owner: owner, Property: property, After: state.Setting{Text: value}}, nil)
}

// ResetJob returns a property of owner to its default.
func ResetJob(e Env, owner, property string) Job {
	return e.edit(state.Edit{Owner: owner, Property: property, After: state.Setting{Default: true}}, nil)
}

// TakeBack is the undo or redo of an edit of change id. Unless forced it fails with an
// *ErrClash when the present value is not the one that the console left.
func TakeBack(e Env, id int64, origin state.Edit, way Way, force bool) Job {
	want := origin
	if way == Undo {
		want = origin.Reverse()
	}
	var left *state.Setting
	if !force {
		left = &want.Before
	}
	j := e.edit(want, left)
	j.Change, j.Way, j.Origin = id, way, origin
	word := "undid: "
	if way == Redo {
		word = "redid: "
	}
	j.Done = word + Of(want.Property, want.Owner) + " is " + Shown(want.After) + " again"
	return j
}

// edit makes true what ed.After says. The value before is read first, so that it can be
// taken back; a server that does not tell it makes the change impossible to undo. Where left
// is given, nothing is changed unless it is that value.
func (e Env) edit(ed state.Edit, left *state.Setting) Job {
	what := Of(ed.Property, ed.Owner)
	j := Job{Failed: what + " was not changed", Timeout: quick, Command: e.editLine(ed)}
	verb := "Set"
	if ed.After.Default {
		verb = "Reset"
		j.Doing, j.Done = "resetting "+what, "set "+what+" to its default"
	} else {
		j.Doing, j.Done = "setting "+what, "set "+what+" to "+Shown(ed.After)
	}
	j.Call = "admin.vm.property." + verb + "+" + ed.Property + " " + ed.Owner
	if ed.Owner == "" {
		j.Call = "admin.property." + verb + "+" + ed.Property + " dom0"
	}
	known := false
	j.Run = func(ctx context.Context, b Backend) error {
		p, err := b.Property(ctx, ed.Owner, ed.Property)
		known = err == nil
		if err != nil && adminapi.KindOf(err) == "" {
			return err
		}
		ed.Before = state.Setting{Text: p.Value}
		if p.Default {
			ed.Before = state.Setting{Default: true}
		}
		if left != nil && known && *left != ed.Before {
			return &ErrClash{ed.Before}
		}
		if ed.After.Default {
			return b.ResetProperty(ctx, ed.Owner, ed.Property)
		}
		return b.SetProperty(ctx, ed.Owner, ed.Property, ed.After.Text)
	}
	j.Edit = func() *state.Edit {
		if !known {
			return nil
		}
		return &ed
	}
	return j
}

func (e Env) editLine(ed state.Edit) string {
	program, owner := "qvm-prefs", []string{ed.Owner}
	if ed.Owner == "" {
		program, owner = "qubes-prefs", nil
	}
	if ed.After.Default {
		return e.line(program, append(append([]string{"--default"}, owner...), ed.Property)...)
	}
	return e.line(program, append(owner, ed.Property, Quote(ed.After.Text))...)
}

// Of names a property with its owner: "memory of work", "default_netvm".
func Of(property, owner string) string {
	if owner == "" {
		return property
	}
	return property + " of " + owner
}

// Shown is a setting in words. Its text is as the server told it.
func Shown(s state.Setting) string {
	switch {
	case s.Default:
		return "its default"
	case s.Text == "":
		return "nothing"
	}
	return s.Text
}

// ErrClash is the error of a take-back whose property is not as the console left it.
type ErrClash struct {
	Now state.Setting // what it is
}

// Error implements error.
func (e *ErrClash) Error() string { return "it was changed to " + Shown(e.Now) + " meanwhile" }
