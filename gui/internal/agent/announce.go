package agent

import (
	"cmp"
	"slices"
	"time"

	"qubist/gui/internal/agent/region"
	"qubist/gui/wire"

	"github.com/BurntSushi/xgb/xproto"
)

// expectation is an acknowledgement the daemon owes, and the pages it may read until then.
type expectation struct {
	window uint32
	span   region.Span
}

// attach makes l the link and announces every window to it, in the order of §12.1.
func (s *session) attach(l *link) {
	s.unlink()
	s.link = l
	s.log.Info("daemon connected", "version", l.version.String(), "width", l.screen.Width, "height", l.screen.Height)
	s.status(StateConnected)
	s.resizeScreen(l.screen)
	order := s.byOrder()
	shots := map[*window]shot{}
	for _, w := range order {
		if !w.mapped || s.alloc == nil {
			continue
		}
		s.mark(w, changeAll)
		if sh, ok := s.shoot(w, time.Now()); ok {
			shots[w] = sh
		}
	}
	for _, w := range order {
		s.create(w)
		var rects []xproto.Rectangle
		if sh, ok := shots[w]; ok {
			rects, _ = s.collect(sh)
		}
		s.describe(w)
		if w.mapped {
			s.tellMapped(w)
			s.tellStates(w)
			s.tellChanged(w, rects)
		}
	}
}

// byOrder lists the windows that dom0 shall know, the first mapped first, so that what a
// window is transient for comes before it.
func (s *session) byOrder() []*window {
	var all []*window
	for _, w := range s.windows {
		if w.order != 0 {
			all = append(all, w)
		}
	}
	slices.SortFunc(all, func(a, b *window) int { return cmp.Compare(a.order, b.order) })
	return all
}

// show announces a window that was mapped.
func (s *session) show(w *window) {
	if s.link == nil {
		return
	}
	if !w.announced {
		s.create(w)
		s.describe(w)
	} else if w.told != w.place {
		s.tellPlace(w)
	}
	s.tellStates(w)
	s.tellMapped(w)
}

// create tells the daemon of a window, still unmapped.
func (s *session) create(w *window) {
	id := uint32(w.id)
	send(s.link, id, wire.Create{
		X: int32(w.place.x), Y: int32(w.place.y),
		Width: uint32(w.place.w), Height: uint32(w.place.h), OverrideRedirect: w.override,
	})
	w.announced = true
	s.tellPlace(w)
}

// describe sends a window's properties.
func (s *session) describe(w *window) {
	id := uint32(w.id)
	if w.props.hasClass {
		send(s.link, id, w.props.class)
	}
	if w.props.hasHints {
		send(s.link, id, w.props.hints)
	}
	send(s.link, id, wire.WMName(w.props.title))
}

func (s *session) tellPlace(w *window) {
	send(s.link, uint32(w.id), wire.Configure{
		X: int32(w.place.x), Y: int32(w.place.y),
		Width: uint32(w.place.w), Height: uint32(w.place.h), OverrideRedirect: w.override,
	})
	w.told, w.owesMove = w.place, false
}

// tellStates sends the states a program set before its window was mapped.
func (s *session) tellStates(w *window) {
	if w.props.states != 0 {
		send(s.link, uint32(w.id), wire.WindowFlags{Set: w.props.states})
		w.states = w.props.states
	}
}

func (s *session) tellMapped(w *window) {
	id := uint32(w.id)
	send(s.link, id, wire.Map{TransientFor: w.props.transientFor, OverrideRedirect: w.override})
	send(s.link, id, wire.WMName(w.props.title))
	w.shown = true
}

// hide tells the daemon that a window was unmapped.
func (s *session) hide(w *window) {
	w.states = 0
	if s.link != nil && w.shown {
		send(s.link, uint32(w.id), wire.Unmap{})
		w.shown = false
	}
	s.deleteStates(w)
}

// tellProps sends what changed of an announced window's properties.
func (s *session) tellProps(w *window, changed propSet) {
	if !w.announced {
		return
	}
	id := uint32(w.id)
	if changed&propTitle != 0 {
		send(s.link, id, wire.WMName(w.props.title))
	}
	if changed&propHints != 0 && w.props.hasHints {
		send(s.link, id, w.props.hints)
	}
	if changed&propClass != 0 && w.props.hasClass {
		send(s.link, id, w.props.class)
	}
}

// forgetDaemon clears what a daemon that is gone knew of w.
func (s *session) forgetDaemon(w *window) {
	w.announced, w.shown, w.owesMove = false, false, false
	w.told, w.unacked = rect{}, 0
	w.image.dumped = false
}
