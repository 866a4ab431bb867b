package wire

// Numbers of X events and notify modes that cross the protocol.
const (
	KeyPress      = 2
	KeyRelease    = 3
	ButtonPress   = 4
	ButtonRelease = 5
	EnterNotify   = 7
	LeaveNotify   = 8
	FocusIn       = 9
	FocusOut      = 10
	NotifyNormal  = 0
)

// Keypress is a key going down (Event KeyPress) or up (KeyRelease). Positions of all input
// are relative to the window.
type Keypress struct {
	Event   uint32
	X, Y    int32
	State   uint32 // X modifier mask
	Keycode uint32 // X keycode, 8 to 255
}

// Type is TypeKeypress.
func (Keypress) Type() Type { return TypeKeypress }

// AppendBody appends 20 bytes.
func (m Keypress) AppendBody(b []byte) []byte {
	return putAll(b, m.Event, uint32(m.X), uint32(m.Y), m.State, m.Keycode)
}

// ParseKeypress reads the daemon's message.
func ParseKeypress(body []byte) (Keypress, error) {
	if err := need(TypeKeypress, body, 20); err != nil {
		return Keypress{}, err
	}
	return Keypress{u32(body, 0), s32(body, 4), s32(body, 8), u32(body, 12), u32(body, 16)}, nil
}

// Button is a mouse button going down (Event ButtonPress) or up (ButtonRelease).
type Button struct {
	Event  uint32
	X, Y   int32
	State  uint32
	Button uint32 // X button, from 1
}

// Type is TypeButton.
func (Button) Type() Type { return TypeButton }

// AppendBody appends 20 bytes.
func (m Button) AppendBody(b []byte) []byte {
	return putAll(b, m.Event, uint32(m.X), uint32(m.Y), m.State, m.Button)
}

// ParseButton reads the daemon's message.
func ParseButton(body []byte) (Button, error) {
	if err := need(TypeButton, body, 20); err != nil {
		return Button{}, err
	}
	return Button{u32(body, 0), s32(body, 4), s32(body, 8), u32(body, 12), u32(body, 16)}, nil
}

// Motion is a new pointer position.
type Motion struct {
	X, Y   int32
	State  uint32
	IsHint uint32
}

// Type is TypeMotion.
func (Motion) Type() Type { return TypeMotion }

// AppendBody appends 16 bytes.
func (m Motion) AppendBody(b []byte) []byte {
	return putAll(b, uint32(m.X), uint32(m.Y), m.State, m.IsHint)
}

// ParseMotion reads the daemon's message.
func ParseMotion(body []byte) (Motion, error) {
	if err := need(TypeMotion, body, 16); err != nil {
		return Motion{}, err
	}
	return Motion{s32(body, 0), s32(body, 4), u32(body, 8), u32(body, 12)}, nil
}

// Crossing is the pointer entering (Event EnterNotify) or leaving (LeaveNotify).
type Crossing struct {
	Event  uint32
	X, Y   int32
	State  uint32
	Mode   uint32
	Detail uint32
	Focus  uint32
}

// Type is TypeCrossing.
func (Crossing) Type() Type { return TypeCrossing }

// AppendBody appends 28 bytes.
func (m Crossing) AppendBody(b []byte) []byte {
	return putAll(b, m.Event, uint32(m.X), uint32(m.Y), m.State, m.Mode, m.Detail, m.Focus)
}

// ParseCrossing reads the daemon's message.
func ParseCrossing(body []byte) (Crossing, error) {
	if err := need(TypeCrossing, body, 28); err != nil {
		return Crossing{}, err
	}
	return Crossing{u32(body, 0), s32(body, 4), s32(body, 8), u32(body, 12), u32(body, 16), u32(body, 20), u32(body, 24)}, nil
}

// Focus is the keyboard focus coming (Event FocusIn) or going (FocusOut).
type Focus struct {
	Event  uint32
	Mode   uint32 // always NotifyNormal
	Detail uint32
}

// Type is TypeFocus.
func (Focus) Type() Type { return TypeFocus }

// AppendBody appends 12 bytes.
func (m Focus) AppendBody(b []byte) []byte { return putAll(b, m.Event, m.Mode, m.Detail) }

// ParseFocus reads the daemon's message.
func ParseFocus(body []byte) (Focus, error) {
	if err := need(TypeFocus, body, 12); err != nil {
		return Focus{}, err
	}
	return Focus{u32(body, 0), u32(body, 4), u32(body, 8)}, nil
}

// KeymapNotify is the set of keys that are down: bit k%8 of byte k/8 is keycode k.
type KeymapNotify [32]byte

// Type is TypeKeymapNotify.
func (KeymapNotify) Type() Type { return TypeKeymapNotify }

// AppendBody appends 32 bytes.
func (m KeymapNotify) AppendBody(b []byte) []byte { return append(b, m[:]...) }

// Down reports whether keycode is pressed.
func (m KeymapNotify) Down(keycode uint8) bool { return m[keycode/8]>>(keycode%8)&1 != 0 }

// ParseKeymapNotify reads the daemon's message.
func ParseKeymapNotify(body []byte) (KeymapNotify, error) {
	if err := need(TypeKeymapNotify, body, 32); err != nil {
		return KeymapNotify{}, err
	}
	return KeymapNotify(body), nil
}
