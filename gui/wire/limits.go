package wire

// Limits of the protocol (§3).
const (
	// MaxWidth and MaxHeight bound every window and image, in pixels.
	MaxWidth  = 16384
	MaxHeight = 6144
	// MaxRefs is the most page references of one dump.
	MaxRefs = 98304
	// MaxBody is the longest body of any message in bytes.
	MaxBody = mfnHeaderSize + 4*MaxRefs
	// MaxClipboard is the most clipboard bytes; one byte more is the mark "too big".
	MaxClipboard = 256000
	// BorderWidth is the forced frame of override-redirect windows, in pixels.
	BorderWidth = 2
	// MaxOverridePercent is how much of the work area an override-redirect window may cover.
	MaxOverridePercent = 90
	// MaxQueue bounds the daemon's outgoing queue in bytes.
	MaxQueue = 10_000_000
	// PageSize is the unit of references and of region offsets in bytes.
	PageSize = 4096
)

// ScreenWindow is the remote id whose image other windows without their own are painted
// from (§5.1).
const ScreenWindow = 0

func clampPos(v, limit int32) int32 { return max(-limit, min(v, limit)) }
