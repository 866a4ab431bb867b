// Package helper runs the small programs that the window daemon leaves things to: dialogs,
// notifications, the qube's keyboard layout, killing the qube. Their names and arguments are
// fixed here; nothing a qube sent is among them.
package helper

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os/exec"
	"strconv"
	"time"

	"qubist/gui/wire"
)

// briefly bounds a program that needs no user.
const briefly = 10 * time.Second

// Helper runs programs on behalf of one qube's daemon.
type Helper struct {
	Name string // of the qube, validated
	KDE  bool   // dialogs are KDE's
	Log  *slog.Logger
}

// status is a program's exit status; an error means that it could not be run.
func status(ctx context.Context, stdin []byte, name string, args ...string) (int, []byte, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	if stdin != nil {
		cmd.Stdin = bytes.NewReader(stdin)
	}
	out, err := cmd.Output()
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.Exited() {
		return exit.ExitCode(), out, nil
	}
	if err != nil {
		return 0, nil, fmt.Errorf("running %s: %w", name, err)
	}
	return 0, out, nil
}

// Answer is what the user wants done.
type Answer uint8

// The answers. Whatever is not clearly Ignore is Terminate.
const (
	Terminate Answer = iota
	Ignore
	Broken // the dialog ended in a way that means nothing
)

// conditions name the checks a suspicious message failed, as KDE remembers "do not ask again".
var conditions = map[wire.Type]string{
	wire.TypeCreate:      "(int) untrusted_crt.width >= 0 && (int) untrusted_crt.height >= 0",
	wire.TypeConfigure:   "width > 0 && height > 0",
	wire.TypeWindowFlags: "flags_set & flags_unset == 0",
	wire.TypeCursor:      "cursor id is known",
}

// Suspicious asks whether a qube that sent a suspicious message shall go on.
func (h *Helper) Suspicious(ctx context.Context, t wire.Type) Answer {
	text := fmt.Sprintf("The qube %q has sent an invalid or suspicious window request (%s). It may be compromised. "+
		"Ignoring such requests can be risky.\n\nTerminate the qube, or ignore this request?", h.Name, conditions[t])
	if h.KDE {
		text += "\n\nYes ignores the request, No terminates the qube."
		n, _, err := status(ctx, nil, "kdialog", "--dontagain", "qubes-quid-"+h.Name+":"+conditions[t], "--warningyesno", text)
		return answer(n, err, 0, 1)
	}
	n, _, err := status(ctx, nil, "zenity", "--question", "--ok-label", "Terminate", "--cancel-label", "Ignore", "--text", text)
	return answer(n, err, 1, 0)
}

func answer(n int, err error, ignore, terminate int) Answer {
	switch {
	case err != nil || n == terminate:
		return Terminate
	case n == ignore:
		return Ignore
	}
	return Broken
}

// Error shows an error box and waits until the user has closed it.
func (h *Helper) Error(ctx context.Context, text string) {
	program, args := "zenity", []string{"--error", "--text", text}
	if h.KDE {
		program, args = "kdialog", []string{"--sorry", text}
	}
	if _, _, err := status(ctx, nil, program, args...); err != nil {
		h.Log.Warn("showing an error", "err", err)
	}
}

// Notify shows a notification. It stays for the desktop's usual time, or for ever.
func (h *Helper) Notify(ctx context.Context, summary, body string, forEver bool) {
	args := []string{"--", summary, body}
	if forEver {
		args = append([]string{"-t", strconv.Itoa(0)}, args...)
	}
	ctx, cancel := context.WithTimeout(ctx, briefly)
	defer cancel()
	if _, _, err := status(ctx, nil, "notify-send", args...); err != nil {
		h.Log.Warn("showing a notification", "err", err)
	}
}

// Kill kills the qube; it returns the exit status.
func (h *Helper) Kill(ctx context.Context) (int, error) {
	n, _, err := status(ctx, nil, "qvm-kill", h.Name)
	return n, err
}

// Keyboard tells the qube the keyboard's layout. Where there is no qubesdb-write, nothing
// listens.
func (h *Helper) Keyboard(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, briefly)
	defer cancel()
	if _, err := exec.LookPath("qubesdb-write"); err != nil {
		return
	}
	_, keymap, err := status(ctx, nil, "setxkbmap", "-print")
	if err == nil {
		_, _, err = status(ctx, nil, "qubesdb-write", "-d", h.Name, "/qubes-keyboard", string(keymap))
	}
	if err != nil {
		h.Log.Warn("telling the keyboard layout", "err", err)
	}
}
