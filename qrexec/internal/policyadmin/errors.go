package policyadmin

import (
	"errors"
	"fmt"
)

// Kind names an exception as callers know it (spec qrexec-policy.md §10).
type Kind string

// The exceptions.
const (
	KindToken       Kind = "PolicyAdminTokenException"
	KindNotFound    Kind = "PolicyAdminFileNotFoundException"
	KindProtocol    Kind = "PolicyAdminProtocolException"
	KindSyntax      Kind = "PolicyAdminSyntaxException"
	KindInvalidName Kind = "PolicyAdminInvalidFileNameException"
)

// Error is a refusal that the caller is told about.
type Error struct {
	Kind Kind
	Text string
}

func (e *Error) Error() string { return string(e.Kind) + " " + e.Text }

func refuse(kind Kind, format string, args ...any) error {
	return &Error{kind, fmt.Sprintf(format, args...)}
}

// Exit statuses of a call.
const (
	ExitRefused  = 1
	ExitInternal = 2
)

// Exit is the exit status for the error of a call.
func Exit(err error) int {
	var e *Error
	switch {
	case err == nil:
		return 0
	case errors.As(err, &e), errors.Is(err, ErrNotRegistered):
		return ExitRefused
	}
	return ExitInternal
}
