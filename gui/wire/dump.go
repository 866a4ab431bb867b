package wire

import "fmt"

// Kinds of window dump.
const (
	// DumpGrantRefs: the image is a list of grant references, one per page (upstream).
	DumpGrantRefs = 0
	// DumpRegion: the image lies in the window region that daemon and qube share
	// ("QBSH"; our addition, see the architecture page). One u32 follows the header: the
	// offset of the image's first byte in units of PageSize.
	DumpRegion = 0x51425348
)

const (
	dumpHeaderSize = 16
	mfnHeaderSize  = 28
)

// BytesPerPixel of every image: B, G, R, unused. Rows follow one another without padding.
const BytesPerPixel = 4

// WindowDump names the memory of a window's image (§7.1 and DumpRegion).
type WindowDump struct {
	Kind          uint32 // DumpGrantRefs or DumpRegion
	Width, Height uint32 // of the image, at most MaxWidth × MaxHeight
	BPP           uint32 // bits per pixel; agents send 32, nobody checks it
	Refs          []uint32
	Offset        uint32 // pages; DumpRegion only
}

// Type is TypeWindowDump.
func (WindowDump) Type() Type { return TypeWindowDump }

// AppendBody appends the header and the references or the offset.
func (m WindowDump) AppendBody(b []byte) []byte {
	b = putAll(b, m.Kind, m.Width, m.Height, m.BPP)
	if m.Kind == DumpRegion {
		return put32(b, m.Offset)
	}
	return putAll(b, m.Refs...)
}

// Size is the image's length in bytes.
func (m WindowDump) Size() int64 { return int64(m.Width) * int64(m.Height) * BytesPerPixel }

// Start is the image's first byte in the region.
func (m WindowDump) Start() int64 { return int64(m.Offset) * PageSize }

// FitsRegion reports whether the image lies inside a region of the given size in bytes.
func (m WindowDump) FitsRegion(size int64) bool { return m.Start()+m.Size() <= size }

// ParseWindowDump checks the kind, the dimensions, and that the references cover the
// image. Whether a DumpRegion fits its region is for FitsRegion to say.
func ParseWindowDump(body []byte) (WindowDump, error) {
	if len(body) < dumpHeaderSize || len(body)%4 != 0 || len(body) > dumpHeaderSize+4*MaxRefs {
		return WindowDump{}, fmt.Errorf("%w: window dump with %d bytes", ErrLength, len(body))
	}
	m := WindowDump{Kind: u32(body, 0), Width: u32(body, 4), Height: u32(body, 8), BPP: u32(body, 12)}
	if m.Width > MaxWidth || m.Height > MaxHeight {
		return WindowDump{}, fmt.Errorf("%w: image of %d × %d", ErrValue, m.Width, m.Height)
	}
	refs := body[dumpHeaderSize:]
	switch m.Kind {
	case DumpRegion:
		if len(refs) != 4 {
			return WindowDump{}, fmt.Errorf("%w: region dump with %d bytes", ErrLength, len(body))
		}
		m.Offset = u32(refs, 0)
	case DumpGrantRefs:
		if int64(len(refs)/4)*PageSize < m.Size() {
			return WindowDump{}, fmt.Errorf("%w: %d pages for an image of %d × %d", ErrValue, len(refs)/4, m.Width, m.Height)
		}
		m.Refs = refList(refs)
	default:
		return WindowDump{}, fmt.Errorf("%w: window dump of kind %#x", ErrValue, m.Kind)
	}
	return m, nil
}

// WindowDumpAck tells the agent that the image before this dump is no longer read.
type WindowDumpAck struct{}

// Type is TypeWindowDumpAck.
func (WindowDumpAck) Type() Type { return TypeWindowDumpAck }

// AppendBody appends nothing.
func (WindowDumpAck) AppendBody(b []byte) []byte { return b }

// MFNDump is the deprecated list of machine frames (§5.7); legal in dom0 only.
type MFNDump struct {
	ShmID, Width, Height, BPP uint32
	Off                       uint32 // bytes into the first frame
	DomID                     uint32
	Frames                    []uint32
}

// Type is TypeMFNDump.
func (MFNDump) Type() Type { return TypeMFNDump }

// AppendBody appends the header and the frames.
func (m MFNDump) AppendBody(b []byte) []byte {
	b = putAll(b, m.ShmID, m.Width, m.Height, m.BPP, m.Off, uint32(len(m.Frames)), m.DomID)
	return putAll(b, m.Frames...)
}

// ParseMFNDump checks the dimensions, the count against the length, and that the frames
// cover the image.
func ParseMFNDump(body []byte) (MFNDump, error) {
	if len(body) < mfnHeaderSize {
		return MFNDump{}, fmt.Errorf("%w: frame dump with %d bytes", ErrLength, len(body))
	}
	m := MFNDump{ShmID: u32(body, 0), Width: u32(body, 4), Height: u32(body, 8), BPP: u32(body, 12), Off: u32(body, 16), DomID: u32(body, 24)}
	count := u32(body, 20)
	switch {
	case count > MaxRefs || m.Width > MaxWidth || m.Height > MaxHeight || m.Off >= PageSize:
		return MFNDump{}, fmt.Errorf("%w: frame dump of %d × %d, offset %d, %d frames", ErrValue, m.Width, m.Height, m.Off, count)
	case len(body) != mfnHeaderSize+4*int(count):
		return MFNDump{}, fmt.Errorf("%w: frame dump with %d bytes for %d frames", ErrLength, len(body), count)
	case int64(count)*PageSize < int64(m.Width)*int64(m.Height)*BytesPerPixel+int64(m.Off):
		return MFNDump{}, fmt.Errorf("%w: %d frames for an image of %d × %d", ErrValue, count, m.Width, m.Height)
	}
	m.Frames = refList(body[mfnHeaderSize:])
	return m, nil
}

func refList(b []byte) []uint32 {
	refs := make([]uint32, len(b)/4)
	for i := range refs {
		refs[i] = u32(b, 4*i)
	}
	return refs
}
