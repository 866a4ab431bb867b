package launch

import (
	"context"

	"qubist/core/qube"
)

// None pretends that every daemon is ready at once; for systems without real guests.
type None struct{}

// Start implements life.Daemons.
func (None) Start(context.Context, Daemon) error { return nil }

// Stop implements life.Daemons.
func (None) Stop(qube.DomID) {}

// Keep implements life.Daemons.
func (None) Keep([]qube.DomID) {}
