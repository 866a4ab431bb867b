package app

import (
	"fmt"
	"testing"

	tea "charm.land/bubbletea/v2"
	"github.com/charmbracelet/colorprofile"

	"qubist/ui/internal/state"
)

// thousand is a system of 1,000 qubes with as many properties as real ones have.
func thousand() state.System {
	s := sample()
	for i := range 1000 {
		q := qubeRow(fmt.Sprintf("qube-%04d", i), "AppVM", state.Running, "blue", "debian-12", "sys-firewall", 400, 3)
		for j := range 50 {
			q.Properties = append(q.Properties, state.Property{Name: fmt.Sprintf("property-%d", j), Value: "value", Type: "str", Default: true})
		}
		s.Qubes = append(s.Qubes, q)
	}
	return s
}

// BenchmarkKey is one key and the frame after it, at 200 × 60 with 1,000 qubes.
func BenchmarkKey(b *testing.B) {
	m := New(b.Context(), Options{Source: quiet{}, Backend: quiet{}})
	send(m, tea.WindowSizeMsg{Width: 200, Height: 60}, tea.ColorProfileMsg{Profile: colorprofile.TrueColor}, systemMsg{thousand()})
	for b.Loop() {
		send(m, tea.KeyPressMsg{Code: 'j', Text: "j"})
		m.Frame()
	}
}

// BenchmarkEvent is one new picture and the frame after it.
func BenchmarkEvent(b *testing.B) {
	m := New(b.Context(), Options{Source: quiet{}, Backend: quiet{}})
	s := thousand()
	send(m, tea.WindowSizeMsg{Width: 200, Height: 60}, tea.ColorProfileMsg{Profile: colorprofile.TrueColor}, systemMsg{s})
	for b.Loop() {
		send(m, systemMsg{s})
		m.Frame()
	}
}
