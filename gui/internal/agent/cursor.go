package agent

import (
	"qubist/gui/wire"

	"github.com/BurntSushi/xgb/xproto"
)

// maxNames bounds the memory of cursor names; programs may invent any number.
const maxNames = 1024

// cursorChanged tells the daemon the pointer's new shape, by name: no picture leaves the
// qube.
func (s *session) cursorChanged(name xproto.Atom) {
	w := s.windows[s.pointer]
	if s.link == nil || w == nil || !w.announced {
		return
	}
	glyph, ok := glyphs[s.atomName(name)]
	if !ok {
		send(s.link, uint32(w.id), wire.Cursor(0))
		return
	}
	send(s.link, uint32(w.id), wire.CursorGlyph(glyph))
}

func (s *session) atomName(a xproto.Atom) string {
	if a == 0 {
		return ""
	}
	if n, ok := s.names[a]; ok {
		return n
	}
	r, err := xproto.GetAtomName(s.x.X, a).Reply()
	if err != nil {
		return ""
	}
	if len(s.names) >= maxNames {
		clear(s.names)
	}
	s.names[a] = r.Name
	return r.Name
}

// glyphs are the X cursor font's glyphs by their X name and by the names of CSS.
var glyphs = map[string]uint8{
	"X_cursor": 0, "arrow": 2, "based_arrow_down": 4, "based_arrow_up": 6, "boat": 8, "bogosity": 10,
	"bottom_left_corner": 12, "bottom_right_corner": 14, "bottom_side": 16, "bottom_tee": 18, "box_spiral": 20,
	"center_ptr": 22, "circle": 24, "clock": 26, "coffee_mug": 28, "cross": 30, "cross_reverse": 32,
	"crosshair": 34, "diamond_cross": 36, "dot": 38, "dotbox": 40, "double_arrow": 42, "draft_large": 44,
	"draft_small": 46, "draped_box": 48, "exchange": 50, "fleur": 52, "gobbler": 54, "gumby": 56, "hand1": 58,
	"hand2": 60, "heart": 62, "icon": 64, "iron_cross": 66, "left_ptr": 68, "left_side": 70, "left_tee": 72,
	"leftbutton": 74, "ll_angle": 76, "lr_angle": 78, "man": 80, "middlebutton": 82, "mouse": 84, "pencil": 86,
	"pirate": 88, "plus": 90, "question_arrow": 92, "right_ptr": 94, "right_side": 96, "right_tee": 98,
	"rightbutton": 100, "rtl_logo": 102, "sailboat": 104, "sb_down_arrow": 106, "sb_h_double_arrow": 108,
	"sb_left_arrow": 110, "sb_right_arrow": 112, "sb_up_arrow": 114, "sb_v_double_arrow": 116, "shuttle": 118,
	"sizing": 120, "spider": 122, "spraycan": 124, "star": 126, "target": 128, "tcross": 130,
	"top_left_arrow": 132, "top_left_corner": 134, "top_right_corner": 136, "top_side": 138, "top_tee": 140,
	"trek": 142, "ul_angle": 144, "umbrella": 146, "ur_angle": 148, "watch": 150, "xterm": 152,

	"default": 68, "pointer": 60, "text": 152, "vertical-text": 152, "wait": 150, "progress": 150, "help": 92,
	"move": 52, "all-scroll": 52, "grab": 60, "grabbing": 52, "cell": 90, "copy": 90, "alias": 2,
	"not-allowed": 24, "no-drop": 24, "context-menu": 68, "zoom-in": 34, "zoom-out": 34,
	"col-resize": 108, "ew-resize": 108, "row-resize": 116, "ns-resize": 116,
	"e-resize": 96, "w-resize": 70, "n-resize": 138, "s-resize": 16,
	"ne-resize": 136, "nw-resize": 134, "se-resize": 14, "sw-resize": 12,
	"nesw-resize": 136, "nwse-resize": 134, "size_all": 52, "size_hor": 108, "size_ver": 116,
	"size_bdiag": 136, "size_fdiag": 134,
}
