package agent

import (
	"fmt"

	"github.com/BurntSushi/xgb"
	"github.com/BurntSushi/xgb/xproto"
)

// modifiers is how many bits of an event's state are modifiers.
const modifiers = 8

// Keysyms of keys that lock: they work by being pressed and released.
const (
	keysymCapsLock  = 0xffe5
	keysymShiftLock = 0xffe6
	keysymNumLock   = 0xff7f
	keysymScroll    = 0xff14
)

// keyboard is what the agent must know of the keyboard map.
type keyboard struct {
	stale bool // the map changed
	codes [modifiers][]byte
	locks [modifiers]bool
}

func (k *keyboard) load(x *xgb.Conn) error {
	k.stale = false
	mods, err := xproto.GetModifierMapping(x).Reply()
	if err != nil {
		return fmt.Errorf("reading the modifier map: %w", err)
	}
	setup := xproto.Setup(x)
	low, high := setup.MinKeycode, setup.MaxKeycode
	syms, err := xproto.GetKeyboardMapping(x, low, byte(high-low+1)).Reply()
	if err != nil {
		return fmt.Errorf("reading the keyboard map: %w", err)
	}
	per := int(mods.KeycodesPerModifier)
	for m := range modifiers {
		k.codes[m], k.locks[m] = nil, false
		for _, code := range mods.Keycodes[m*per : (m+1)*per] {
			if byte(code) < byte(low) {
				continue // no key
			}
			k.codes[m] = append(k.codes[m], byte(code))
			at := int(byte(code)-byte(low)) * int(syms.KeysymsPerKeycode)
			if at < len(syms.Keysyms) && len(k.codes[m]) == 1 {
				switch syms.Keysyms[at] {
				case keysymCapsLock, keysymShiftLock, keysymNumLock, keysymScroll:
					k.locks[m] = true
				}
			}
		}
	}
	return nil
}

// tap is one synthetic key event.
type tap struct {
	code  byte
	press bool
}

// sync returns the key events that turn the modifier state have into want.
func (k *keyboard) sync(have, want uint8) []tap {
	var taps []tap
	for m := range modifiers {
		bit := uint8(1) << m
		if (have^want)&bit == 0 || len(k.codes[m]) == 0 {
			continue
		}
		switch {
		case k.locks[m]:
			taps = append(taps, tap{k.codes[m][0], true}, tap{k.codes[m][0], false})
		case want&bit != 0:
			taps = append(taps, tap{k.codes[m][0], true})
		default:
			for _, code := range k.codes[m] { // whichever holds it
				taps = append(taps, tap{code, false})
			}
		}
	}
	return taps
}

// syncModifiers makes the modifiers as dom0 has them.
func (s *session) syncModifiers(want uint8) {
	if s.keys.stale {
		if err := s.keys.load(s.x.X); err != nil {
			s.log.Warn("modifiers unknown", "err", err)
			return
		}
	}
	p, err := xproto.QueryPointer(s.x.X, s.root).Reply()
	if err != nil {
		return
	}
	for _, t := range s.keys.sync(uint8(p.Mask), want) {
		event := byte(xproto.KeyRelease)
		if t.press {
			event = xproto.KeyPress
		}
		s.fake(event, t.code, 0, 0)
	}
}
