package wire

import "bytes"

// Sizes of the text fields in bytes, each with room for a final NUL.
const (
	nameSize  = 128
	classSize = 64
)

// WMName is a window title as the qube wrote it: at most 127 bytes, no NUL, otherwise
// arbitrary. Sanitise it before it is shown anywhere.
type WMName string

// Type is TypeWMName.
func (WMName) Type() Type { return TypeWMName }

// AppendBody appends 128 bytes; what does not fit is cut.
func (m WMName) AppendBody(b []byte) []byte { return appendText(b, string(m), nameSize) }

// ParseWMName ends the text at the first NUL; the last byte counts as NUL.
func ParseWMName(body []byte) (WMName, error) {
	if err := need(TypeWMName, body, nameSize); err != nil {
		return "", err
	}
	return WMName(text(body)), nil
}

// WMClass is WM_CLASS as the qube wrote it, each part at most 63 bytes; sanitise it.
type WMClass struct {
	Class, Name string
}

// Type is TypeWMClass.
func (WMClass) Type() Type { return TypeWMClass }

// AppendBody appends 128 bytes; what does not fit is cut.
func (m WMClass) AppendBody(b []byte) []byte {
	return appendText(appendText(b, m.Class, classSize), m.Name, classSize)
}

// ParseWMClass ends both texts at their first NUL.
func ParseWMClass(body []byte) (WMClass, error) {
	if err := need(TypeWMClass, body, 2*classSize); err != nil {
		return WMClass{}, err
	}
	return WMClass{text(body[:classSize]), text(body[classSize:])}, nil
}

func text(field []byte) string {
	field = field[:len(field)-1]
	if i := bytes.IndexByte(field, 0); i >= 0 {
		field = field[:i]
	}
	return string(field)
}

func appendText(b []byte, s string, size int) []byte {
	if len(s) > size-1 {
		s = s[:size-1]
	}
	b = append(b, s...)
	for range size - len(s) {
		b = append(b, 0)
	}
	return b
}

// HintFlags says which fields of WindowHints are meant; the bits are Xlib's.
type HintFlags uint32

// The hints that cross the protocol.
const (
	HintUSPosition HintFlags = 1
	HintPPosition  HintFlags = 4
	HintMinSize    HintFlags = 16
	HintMaxSize    HintFlags = 32
	HintResizeInc  HintFlags = 64
	HintBaseSize   HintFlags = 256
)

// WindowHints is WM_NORMAL_HINTS, in pixels (§5.11).
type WindowHints struct {
	Flags                 HintFlags
	MinWidth, MinHeight   uint32
	MaxWidth, MaxHeight   uint32
	WidthInc, HeightInc   uint32
	BaseWidth, BaseHeight uint32
}

// Type is TypeWindowHints.
func (WindowHints) Type() Type { return TypeWindowHints }

// AppendBody appends 36 bytes.
func (m WindowHints) AppendBody(b []byte) []byte {
	return putAll(b, uint32(m.Flags), m.MinWidth, m.MinHeight, m.MaxWidth, m.MaxHeight,
		m.WidthInc, m.HeightInc, m.BaseWidth, m.BaseHeight)
}

// ParseWindowHints keeps the groups whose numbers are in range; of the others the flag is
// cleared and the numbers are zero, as are those of groups without a flag.
func ParseWindowHints(body []byte) (WindowHints, error) {
	if err := need(TypeWindowHints, body, 36); err != nil {
		return WindowHints{}, err
	}
	flags := HintFlags(u32(body, 0))
	m := WindowHints{Flags: flags & (HintUSPosition | HintPPosition)}
	if w, h := u32(body, 4), u32(body, 8); flags&HintMinSize != 0 && w <= MaxWidth && h <= MaxHeight {
		m.Flags, m.MinWidth, m.MinHeight = m.Flags|HintMinSize, w, h
	}
	if w, h := u32(body, 12), u32(body, 16); flags&HintMaxSize != 0 && w > 0 && h > 0 && w <= MaxWidth && h <= MaxHeight {
		m.Flags, m.MaxWidth, m.MaxHeight = m.Flags|HintMaxSize, w, h
	}
	if w, h := u32(body, 20), u32(body, 24); flags&HintResizeInc != 0 && w < MaxWidth && h < MaxHeight {
		m.Flags, m.WidthInc, m.HeightInc = m.Flags|HintResizeInc, w, h
	}
	if w, h := u32(body, 28), u32(body, 32); flags&HintBaseSize != 0 && w <= MaxWidth && h <= MaxHeight {
		m.Flags, m.BaseWidth, m.BaseHeight = m.Flags|HintBaseSize, w, h
	}
	return m, nil
}

// ClipboardReq asks for the qube's clipboard.
type ClipboardReq struct{}

// Type is TypeClipboardReq.
func (ClipboardReq) Type() Type { return TypeClipboardReq }

// AppendBody appends nothing.
func (ClipboardReq) AppendBody(b []byte) []byte { return b }

// ClipboardData is opaque clipboard content, at most MaxClipboard+1 bytes.
type ClipboardData []byte

// Type is TypeClipboardData.
func (ClipboardData) Type() Type { return TypeClipboardData }

// AppendBody appends the content.
func (m ClipboardData) AppendBody(b []byte) []byte { return append(b, m...) }

// ParseClipboardData copies the content out of body.
func ParseClipboardData(body []byte) (ClipboardData, error) {
	if len(body) > MaxClipboard+1 {
		return nil, need(TypeClipboardData, body, MaxClipboard+1)
	}
	return ClipboardData(bytes.Clone(body)), nil
}
