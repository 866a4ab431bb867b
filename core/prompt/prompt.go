// Package prompt is the question to the user: what is asked, the fair queue in which
// questions wait, and the front end's side of the protocol in which they are shown.
//
// It draws nothing and reads no keys; ui/internal/prompt does. Formats are in the wire
// package below. Whatever goes wrong with a question denies it.
package prompt

import (
	"slices"
	"strings"

	"qubist/core/prompt/wire"
	"qubist/core/qube"
)

// Question and Party are what a front end shows; see the wire package.
type (
	Question = wire.Question
	Party    = wire.Party
	Answer   = wire.Answer
)

// FromAsk makes the question of a policy.Ask request. ID and Remaining are set by a Queue.
func FromAsk(a wire.Ask) Question {
	q := Question{Source: party(a, a.Source), Service: a.Service, Argument: a.Argument, Rule: a.Rule}
	for _, t := range slices.Sorted(slices.Values(a.Targets)) {
		q.Targets = append(q.Targets, party(a, t))
	}
	if slices.Contains(a.Targets, a.DefaultTarget) {
		q.DefaultTarget = a.DefaultTarget
	}
	return q
}

// party finds a label by the icon: the request has no labels, but icons are named
// "appvm-blue". A colour that is not built in stays unknown.
func party(a wire.Ask, name string) Party {
	icon := a.Icons[name]
	word := icon[strings.LastIndexByte(icon, '-')+1:]
	for _, l := range qube.BuiltinLabels {
		if l.Name == word {
			return Party{Name: name, Label: l.Name, Color: l.Color}
		}
	}
	return Party{Name: name}
}

// Same reports whether two questions ask for the same thing.
func Same(a, b *Question) bool {
	return a.Source == b.Source && a.Service == b.Service && a.Argument == b.Argument &&
		a.DefaultTarget == b.DefaultTarget && slices.Equal(a.Targets, b.Targets)
}
