package app

import (
	"context"
	"errors"
	"fmt"
	"io"

	tea "charm.land/bubbletea/v2"
)

// framesPerSecond is the renderer's pace: the highest it has, so that a key is on the screen
// within about 8 ms.
const framesPerSecond = 120

// Run shows the console until the user leaves, ctx ends or the terminal is lost, then says
// goodbye on out. The terminal is as before whatever happened. More options are for tests.
func Run(ctx context.Context, o Options, out io.Writer, opts ...tea.ProgramOption) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	m := New(ctx, o)
	opts = append([]tea.ProgramOption{tea.WithContext(ctx), tea.WithoutSignalHandler(), tea.WithFPS(framesPerSecond)}, opts...)
	_, err := tea.NewProgram(m, opts...).Run()
	switch {
	case err == nil:
		if s := m.goodbye(); s != "" {
			fmt.Fprintln(out, s)
		}
		return nil
	case ctx.Err() != nil && errors.Is(err, tea.ErrProgramKilled):
		return nil
	}
	return fmt.Errorf("running the console: %w", err)
}
