// Package x11 is the display driver for an X server. In the mode Own every managed window
// is a frame window of ours, with the label's colour, pattern and title, around a content
// window; whatever window manager runs sees the frame only and is asked not to decorate it.
// Without a window manager the frames can still be placed, moved, resized, raised and
// focused. Otherwise (mode wm) the content is the top-level window and a window manager
// that knows the _QUBES_* properties draws the frame, as with the original.
//
// Words: *top* is the window a window manager deals with: the frame, or the content where
// there is none (override-redirect windows and mode wm).
package x11

import (
	"fmt"
	"image"
	"log/slog"
	"os"

	"github.com/BurntSushi/xgb/shm"
	"github.com/BurntSushi/xgb/xproto"

	"qubist/gui/internal/display"
	"qubist/gui/internal/frame"
	"qubist/gui/internal/grant"
	"qubist/gui/internal/xconn"
	"qubist/gui/wire"
)

// Options describe the qube whose windows are shown.
type Options struct {
	Own    bool   // draw frames ourselves
	Name   string // of the qube, validated
	Label  int    // index of the label
	Colour uint32 // 0xRRGGBB of the label
	Ground uint32 // 0xRRGGBB of content without an image
	Region *os.File
	Grants grant.Mapper // nil: granted pages cannot be shown
	Log    *slog.Logger

	// Icon is the picture of every window, nil for none, and IconName what is used as
	// WM_CLASS until the qube sets one; empty: as the mode has it.
	Icon     *Icon
	IconName string
	Props    []Prop
	// Lockers are the WM_CLASS names of screen lockers; override-redirect windows stay
	// below them. A qube's windows carry its name as a prefix and cannot pose as one.
	Lockers []string
}

// Icon is a picture for _NET_WM_ICON: rows of 0xAARRGGBB.
type Icon struct {
	Width, Height int
	Pix           []uint32
}

// Prop is a property put on every window.
type Prop struct {
	Name string
	Kind byte   // 's' text, 'a' an atom, 'c' cardinals
	Text string // of kinds s and a
	Nums []uint32
}

// Display is the driver.
type Display struct {
	opt   Options
	c     *xconn.Conn
	root  xproto.Window
	atoms atoms
	host  string
	frame *frame.Frame

	region  shm.Seg
	gcs     [gcCount]xproto.Gcontext
	cursors map[uint16]xproto.Cursor
	font    xproto.Font

	wins   map[xproto.Window]*win // by content and by frame
	screen display.Screen
	wm     manager
	drag   drag
	tray   xproto.Atom   // the tray's selection
	clock  xproto.Window // carries the time of the user's last input; 0: each window its own
	failed bool
	turn   uint64           // counts changes of the focus
	heard  xproto.Timestamp // when the user last used the qube; 0: not yet
	raw    []xconn.Event
	rects  []xproto.Rectangle
}

var _ display.Driver = (*Display)(nil)

// win is one window on the X server.
type win struct {
	remote   uint32
	content  xproto.Window
	frame    xproto.Window // 0: the content is the top-level window
	outer    image.Rectangle
	or       bool
	mapped   bool
	placed   bool
	reparent bool   // the window manager put it into a window of its own
	active   bool   // has the keyboard focus
	turn     uint64 // when it got it last
	hot      bool   // the pointer is on the close box
	docked   bool
	part     frame.Part
	asked    uint64 // number of our last configure request
	wmFrame  [4]int // _NET_FRAME_EXTENTS: left, right, top, bottom
	saved    image.Rectangle
	states   display.State

	title       string
	titled      bool
	name, class string
	hints       wire.WindowHints
	hinted      bool
	owner       display.Window
}

func (w *win) top() xproto.Window {
	if w.frame != 0 {
		return w.frame
	}
	return w.content
}

// The graphics contexts, one per colour.
const (
	gcLabel = iota
	gcGround
	gcAccent
	gcLine
	gcCount
)

// Open prepares a connection for one qube: interns atoms, attaches the region, looks for
// a window manager. The connection stays the caller's.
func Open(c *xconn.Conn, opt Options) (*Display, error) {
	d := &Display{opt: opt, c: c, root: c.Screen.Root, wins: map[xproto.Window]*win{}, cursors: map[uint16]xproto.Cursor{}}
	if c.Screen.RootDepth != 24 {
		return nil, fmt.Errorf("the screen has depth %d, want 24", c.Screen.RootDepth)
	}
	var err error
	if d.host, err = os.Hostname(); err != nil {
		return nil, fmt.Errorf("reading the host name: %w", err)
	}
	if d.atoms, err = internAtoms(c); err != nil {
		return nil, err
	}
	if opt.Region != nil || opt.Grants != nil {
		if err := shm.Init(c.X); err != nil {
			return nil, fmt.Errorf("initialising MIT-SHM: %w", err)
		}
	}
	if opt.Region != nil {
		if d.region, err = c.AttachFd(int(opt.Region.Fd()), true); err != nil {
			return nil, err
		}
	}
	d.frame, err = frame.New(frame.Style{Colour: opt.Colour, Label: opt.Label, Name: opt.Name, Scale: d.scale()})
	if err != nil {
		return nil, err
	}
	if err := d.makeGCs(); err != nil {
		return nil, err
	}
	xproto.ChangeWindowAttributes(c.X, d.root, xproto.CwEventMask, []uint32{xproto.EventMaskPropertyChange | xproto.EventMaskStructureNotify})
	d.screen = display.Screen{Width: c.Screen.WidthInPixels, Height: c.Screen.HeightInPixels, Depth: c.Screen.RootDepth}
	if err := d.internTray(c.ScreenNumber); err != nil {
		return nil, err
	}
	if opt.Own {
		f := &d.screen.Frame
		f.Left, f.Right, f.Top, f.Bottom = d.frame.Extents()
	}
	d.findManager()
	if err := d.firstWorkArea(); err != nil {
		return nil, err
	}
	if err := d.exact(); err != nil {
		return nil, err
	}
	return d, c.Sync()
}

func (d *Display) makeGCs() error {
	colours := [gcCount]uint32{gcLabel: d.opt.Colour, gcGround: d.opt.Ground, gcAccent: d.frame.Accent(), gcLine: d.frame.Line()}
	for i, colour := range colours {
		id, err := d.c.NewID()
		if err != nil {
			return err
		}
		d.gcs[i] = xproto.Gcontext(id)
		xproto.CreateGC(d.c.X, d.gcs[i], xproto.Drawable(d.root), xproto.GcForeground|xproto.GcGraphicsExposures, []uint32{colour, 0})
	}
	return nil
}

// Screen is the root window's size and work area, as last heard.
func (d *Display) Screen() display.Screen { return d.screen }

// Wake reports events to Poll.
func (d *Display) Wake() <-chan struct{} { return d.c.Wake() }

// Lost is closed when the X server is gone.
func (d *Display) Lost() <-chan struct{} { return d.c.Lost() }

// Err says why Lost is closed.
func (d *Display) Err() error { return d.c.Err() }

// Flush has nothing to do: requests are written as they are made.
func (d *Display) Flush() {}

// Fill fills rectangles of the content.
func (d *Display) Fill(w display.Window, colour display.Colour, rs ...image.Rectangle) {
	gc := d.gcs[gcLabel]
	if colour == display.Ground {
		gc = d.gcs[gcGround]
	}
	d.fill(xproto.Window(w), gc, rs)
}

func (d *Display) fill(w xproto.Window, gc xproto.Gcontext, rs []image.Rectangle) {
	if d.wins[w] == nil {
		return
	}
	d.rects = d.rects[:0]
	for _, r := range rs {
		if !r.Empty() {
			d.rects = append(d.rects, xproto.Rectangle{X: int16(r.Min.X), Y: int16(r.Min.Y), Width: uint16(r.Dx()), Height: uint16(r.Dy())})
		}
	}
	if len(d.rects) > 0 {
		xproto.PolyFillRectangle(d.c.X, xproto.Drawable(w), gc, d.rects)
	}
}

// putPixels sends a picture of ours, in strips that fit into a request.
func (d *Display) putPixels(w xproto.Window, p frame.Pixels, at image.Point) {
	if p.Width == 0 || p.Height == 0 {
		return
	}
	const most = 1<<18 - 64
	rows := max(1, most/(p.Width*4))
	for y := 0; y < p.Height; y += rows {
		n := min(rows, p.Height-y)
		xproto.PutImage(d.c.X, xproto.ImageFormatZPixmap, xproto.Drawable(w), d.gcs[gcGround], uint16(p.Width), uint16(n),
			int16(at.X), int16(at.Y+y), 0, d.screen.Depth, p.Rows(y, y+n))
	}
}
