package policyadmin

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"regexp"
)

// registered is the file of policy.RegisterArgument.
const registered = "60-registered-arguments.policy"

// maxArgument is the longest argument that can be registered, in bytes.
const maxArgument = 64

var wordChars = regexp.MustCompile(`^[A-Za-z0-9._-]+$`)

// ErrNotRegistered is what Serve returns for a refused policy.RegisterArgument: its caller
// sees the exit status ExitRefused and nothing else.
var ErrNotRegistered = errors.New("not registered")

// register allows calls of one service with one argument from the requested target (the
// frontend) to the caller (the backend).
func (a *Admin) register(ctx context.Context, c Call) error {
	who := fmt.Sprintf("%s: %s → %s", c.Argument, c.RequestedTarget, c.Source)
	argument := string(c.Payload)
	switch {
	case argument == "":
		return a.refuseRegister(who, "request refused: empty argument")
	case len(argument) > maxArgument:
		return a.refuseRegister(who, "request refused: argument too long")
	case !wordChars.MatchString(argument):
		return a.refuseRegister(who, "request refused: invalid argument")
	case !wordChars.MatchString(c.Argument):
		return a.refuseRegister(who, "request refused: invalid service")
	case !wordChars.MatchString(c.RequestedTarget), !wordChars.MatchString(c.Source):
		return a.refuseRegister(who, "request refused: invalid name of a qube")
	}
	unlock, err := a.lock(ctx)
	if err != nil {
		return a.refuseRegister(who, err.Error())
	}
	defer unlock()
	p, err := a.load(nil)
	if err != nil {
		return a.refuseRegister(who, err.Error())
	}
	for _, r := range p.Rules() {
		if r.Service == c.Argument && r.Argument == "+"+argument {
			return a.refuseRegister(who, argument+" argument failed: argument already registered")
		}
	}
	file := filepath.Join(a.cfg.Dir, registered)
	old, _, err := read(file)
	if err != nil {
		return a.refuseRegister(who, err.Error())
	}
	if n := len(old); n > 0 && old[n-1] != '\n' {
		old = append(old, '\n')
	}
	line := fmt.Sprintf("%s +%s %s %s allow\n", c.Argument, argument, c.RequestedTarget, c.Source)
	if err := a.write(file, append(old, line...)); err != nil {
		return a.refuseRegister(who, argument+" argument failed: "+err.Error())
	}
	a.log(who + " " + argument + " argument allowed")
	return nil
}

func (a *Admin) refuseRegister(who, text string) error {
	a.log(who + " " + text)
	return fmt.Errorf("%w: %s", ErrNotRegistered, text)
}
