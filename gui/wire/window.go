package wire

import "fmt"

// Create announces a window (§5.1). Parents are always sent as 0 and ignored.
type Create struct {
	X, Y             int32  // within ±MaxWidth, ±MaxHeight
	Width, Height    uint32 // at most MaxWidth × MaxHeight; may be 0
	Parent           uint32
	OverrideRedirect bool
}

// Type is TypeCreate.
func (Create) Type() Type { return TypeCreate }

// AppendBody appends 24 bytes.
func (m Create) AppendBody(b []byte) []byte {
	return putAll(b, uint32(m.X), uint32(m.Y), m.Width, m.Height, m.Parent, putBool(m.OverrideRedirect))
}

// ParseCreate fails with ErrSuspicious for sizes that are negative as signed numbers;
// what is merely too large is clamped.
func ParseCreate(body []byte) (Create, error) {
	if err := need(TypeCreate, body, 24); err != nil {
		return Create{}, err
	}
	if s32(body, 8) < 0 || s32(body, 12) < 0 {
		return Create{}, fmt.Errorf("%w: window of %d × %d", ErrSuspicious, s32(body, 8), s32(body, 12))
	}
	return Create{
		X: clampPos(s32(body, 0), MaxWidth), Y: clampPos(s32(body, 4), MaxHeight),
		Width: min(u32(body, 8), MaxWidth), Height: min(u32(body, 12), MaxHeight),
		Parent: u32(body, 16), OverrideRedirect: u32(body, 20) != 0,
	}, nil
}

// Destroy ends a window; the daemon's echo says that its id may be used again.
type Destroy struct{}

// Type is TypeDestroy.
func (Destroy) Type() Type { return TypeDestroy }

// AppendBody appends nothing.
func (Destroy) AppendBody(b []byte) []byte { return b }

// Map shows a window, or tells the agent that the user did.
type Map struct {
	TransientFor     uint32 // remote id or 0
	OverrideRedirect bool
}

// Type is TypeMap.
func (Map) Type() Type { return TypeMap }

// AppendBody appends 8 bytes.
func (m Map) AppendBody(b []byte) []byte {
	return putAll(b, m.TransientFor, putBool(m.OverrideRedirect))
}

// ParseMap reads either side's message.
func ParseMap(body []byte) (Map, error) {
	if err := need(TypeMap, body, 8); err != nil {
		return Map{}, err
	}
	return Map{u32(body, 0), u32(body, 4) != 0}, nil
}

// Unmap hides a window.
type Unmap struct{}

// Type is TypeUnmap.
func (Unmap) Type() Type { return TypeUnmap }

// AppendBody appends nothing.
func (Unmap) AppendBody(b []byte) []byte { return b }

// Dock asks for a place in the tray.
type Dock struct{}

// Type is TypeDock.
func (Dock) Type() Type { return TypeDock }

// AppendBody appends nothing.
func (Dock) AppendBody(b []byte) []byte { return b }

// Configure moves and resizes, or acknowledges that (§5.5, §10). Coordinates are those of
// the client area relative to the root.
type Configure struct {
	X, Y             int32  // within ±MaxWidth, ±MaxHeight
	Width, Height    uint32 // 1 to MaxWidth × MaxHeight
	OverrideRedirect bool   // ignored by the daemon, sent as false to the agent
}

// Type is TypeConfigure.
func (Configure) Type() Type { return TypeConfigure }

// AppendBody appends 20 bytes.
func (m Configure) AppendBody(b []byte) []byte {
	return putAll(b, uint32(m.X), uint32(m.Y), m.Width, m.Height, putBool(m.OverrideRedirect))
}

// ParseConfigure reads either side's message; a size of zero is ErrSuspicious.
func ParseConfigure(body []byte) (Configure, error) {
	if err := need(TypeConfigure, body, 20); err != nil {
		return Configure{}, err
	}
	m := Configure{
		X: clampPos(s32(body, 0), MaxWidth), Y: clampPos(s32(body, 4), MaxHeight),
		Width: min(u32(body, 8), MaxWidth), Height: min(u32(body, 12), MaxHeight),
		OverrideRedirect: u32(body, 16) != 0,
	}
	if m.Width == 0 || m.Height == 0 {
		return Configure{}, fmt.Errorf("%w: window of %d × %d", ErrSuspicious, m.Width, m.Height)
	}
	return m, nil
}

// ShmImage is a damage notice: the rectangle of the window's image that changed (§5.8).
// Nothing is clamped here; the painter clips it to image and window.
type ShmImage struct {
	X, Y, Width, Height int32
}

// Type is TypeShmImage.
func (ShmImage) Type() Type { return TypeShmImage }

// AppendBody appends 16 bytes.
func (m ShmImage) AppendBody(b []byte) []byte {
	return putAll(b, uint32(m.X), uint32(m.Y), uint32(m.Width), uint32(m.Height))
}

// ParseShmImage reads the rectangle as signed numbers.
func ParseShmImage(body []byte) (ShmImage, error) {
	if err := need(TypeShmImage, body, 16); err != nil {
		return ShmImage{}, err
	}
	return ShmImage{s32(body, 0), s32(body, 4), s32(body, 8), s32(body, 12)}, nil
}

// Close asks the application to close its window.
type Close struct{}

// Type is TypeClose.
func (Close) Type() Type { return TypeClose }

// AppendBody appends nothing.
func (Close) AppendBody(b []byte) []byte { return b }

// Flags is a set of window states.
type Flags uint32

// The window states of WindowFlags.
const (
	FlagFullscreen       Flags = 1
	FlagDemandsAttention Flags = 2
	FlagMinimize         Flags = 4
)

// WindowFlags changes states: Set and Unset have no bit in common (§5.12).
type WindowFlags struct {
	Set, Unset Flags
}

// Type is TypeWindowFlags.
func (WindowFlags) Type() Type { return TypeWindowFlags }

// AppendBody appends 8 bytes.
func (m WindowFlags) AppendBody(b []byte) []byte {
	return putAll(b, uint32(m.Set), uint32(m.Unset))
}

// ParseWindowFlags fails with ErrSuspicious when a state is to be set and unset at once.
// Unknown bits are dropped, and so is unsetting FlagMinimize: that is done by mapping.
func ParseWindowFlags(body []byte) (WindowFlags, error) {
	if err := need(TypeWindowFlags, body, 8); err != nil {
		return WindowFlags{}, err
	}
	set, unset := Flags(u32(body, 0)), Flags(u32(body, 4))
	if set&unset != 0 {
		return WindowFlags{}, fmt.Errorf("%w: window flags %#x both set and unset", ErrSuspicious, uint32(set&unset))
	}
	return WindowFlags{
		set & (FlagFullscreen | FlagDemandsAttention | FlagMinimize),
		unset & (FlagFullscreen | FlagDemandsAttention),
	}, nil
}

// Cursor is a pointer shape: 0 for the default or cursorBit plus a glyph of the X cursor
// font (§5.13).
type Cursor uint32

const (
	cursorBit Cursor = 0x100
	cursorEnd Cursor = 0x19A
)

// CursorGlyph is the shape of a glyph of the X cursor font, 0 to 153.
func CursorGlyph(glyph uint8) Cursor { return cursorBit | Cursor(glyph) }

// Glyph returns the index into the X cursor font; ok is false for the default shape.
func (m Cursor) Glyph() (glyph uint16, ok bool) { return uint16(m &^ cursorBit), m != 0 }

// Type is TypeCursor.
func (Cursor) Type() Type { return TypeCursor }

// AppendBody appends 4 bytes.
func (m Cursor) AppendBody(b []byte) []byte { return put32(b, uint32(m)) }

// ParseCursor accepts 0 and 0x100 to 0x199; all else is ErrSuspicious.
func ParseCursor(body []byte) (Cursor, error) {
	if err := need(TypeCursor, body, 4); err != nil {
		return 0, err
	}
	m := Cursor(u32(body, 0))
	if m != 0 && (m < cursorBit || m >= cursorEnd) {
		return 0, fmt.Errorf("%w: cursor %#x", ErrSuspicious, uint32(m))
	}
	return m, nil
}
