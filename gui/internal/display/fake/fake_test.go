package fake_test

import (
	"testing"

	"qubist/gui/internal/display"
	"qubist/gui/internal/display/displaytest"
	"qubist/gui/internal/display/fake"
)

func TestSuite(t *testing.T) {
	displaytest.Run(t, func(*testing.T) displaytest.Harness {
		d := fake.New(1280, 800)
		return displaytest.Harness{Driver: d, Ask: func(w display.Window) {
			d.Play(display.Event{Kind: display.Closing, Window: w})
		}}
	})
}
