package action

import (
	"context"
	"errors"
	"os/exec"
	"strings"
	"syscall"

	"qubist/core/adminapi"
	"qubist/core/safetext"
)

// evidenceCells bounds what is shown of a server's message.
const evidenceCells = 600

// Explain turns an error into what the system said, fit to show, and what to do next ("" when
// there is nothing better than the evidence). Messages of a server may quote a qube's text;
// they are reduced to ASCII so that no terminal miscounts their width.
func Explain(err error) (evidence, next string) {
	var e *adminapi.Error
	switch {
	case errors.As(err, &e):
		return Sentence(safetext.Name(e.Message, evidenceCells)), advice[e.Kind]
	case errors.Is(err, context.DeadlineExceeded):
		return "No answer came in time.", "It may still happen; the table shows the true state. m lists what was tried."
	case errors.Is(err, adminapi.ErrRefused):
		return "qubesd refused without giving a reason.", "Its log and policy say why."
	case errors.Is(err, syscall.ENOENT), errors.Is(err, syscall.ECONNREFUSED):
		return Sentence(safetext.Name(err.Error(), evidenceCells)), "The server is not running; the console keeps trying to reach it."
	case errors.Is(err, exec.ErrNotFound):
		return Sentence(safetext.Name(err.Error(), evidenceCells)), "The program belongs beside this one; is the installation complete?"
	}
	return Sentence(safetext.Name(err.Error(), evidenceCells)), ""
}

var advice = map[string]string{
	adminapi.MemoryError:       "Shut down a qube that is not needed (S), or lower the memory property (enter, e).",
	adminapi.VMInUse:           "Change what uses it first; enter shows its details.",
	adminapi.VMNotHalted:       "Shut it down first (S).",
	adminapi.VMNotRunning:      "Start it first (s).",
	adminapi.VMNotPaused:       "Only a paused qube can run on.",
	adminapi.VMShutdownTimeout: "Wait and look again, or kill it (K).",
	adminapi.VMNotFound:        "It was removed meanwhile.",
	adminapi.VMAlreadyExists:   "Choose another name.",
	adminapi.NoTemplate:        "Set its template (enter, e on template).",
	adminapi.PropertyValue:     "e edits it again.",
	adminapi.PermissionDenied:  "The policy decides this.",
}

// Sentence ends s with a full stop. It does not touch the first letter: it may be a qube's name.
func Sentence(s string) string {
	s = strings.TrimSpace(s)
	if s == "" {
		return "No reason was given."
	}
	if !strings.HasSuffix(s, ".") && !strings.HasSuffix(s, "!") && !strings.HasSuffix(s, "?") {
		s += "."
	}
	return s
}
