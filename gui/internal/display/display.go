// Package display is what the window daemon needs of a screen: windows whose content is
// painted from shared memory, in a frame that belongs to the daemon, and the user's input on
// them. Driver is the interface; x11 drives an X server, fake a record for tests. A driver
// owns frames, properties and everything a window manager wants; it decides nothing about
// what a qube may do, that is package window's.
//
// Words: the *content* is the area that holds a qube's pixels; every position and size here
// is the content's, in root coordinates unless said otherwise.
package display

import (
	"errors"
	"image"

	"qubist/gui/wire"
)

// Window is a driver's handle of a window; 0 is none.
type Window uint32

// Spec is a window to be made.
type Spec struct {
	Remote           uint32 // the qube's id of it, published as _QUBES_VMWINDOWID
	Rect             image.Rectangle
	OverrideRedirect bool
}

// Memory is a driver's handle of memory pictures lie in; 0 is the window region.
type Memory uint32

// ErrRefused: the qube did not grant the pages it named.
var ErrRefused = errors.New("the qube named pages it did not grant")

// Image is a picture in Memory: rows of Width·4 bytes from byte Start on.
type Image struct {
	Memory        Memory
	Start         uint32
	Width, Height int
}

// Colour names one of the two colours a driver fills with.
type Colour uint8

// The label's colour and the neutral ground of content without an image.
const (
	LabelColour Colour = iota
	Ground
)

// State is a set of window manager states.
type State uint8

// The states that reach or come from the window manager.
const (
	Fullscreen State = 1 << iota
	Maximized
	Attention
	Hidden
)

// Screen describes the root window.
type Screen struct {
	Width, Height uint16
	Depth         uint8
	WorkArea      image.Rectangle // where override-redirect windows must stay
	Frame         Sides           // what the driver's own frame adds to the content; zero without one
}

// Sides are the widths of a frame's four sides.
type Sides struct{ Left, Right, Top, Bottom int }

// Driver is one qube's access to a display. It is used by one goroutine, except for Wake,
// Lost and Err. Requests are not answered: they are carried out in order, at the latest
// with Flush, and a window that is gone is silently passed over. Rectangles given to Fill
// and Put are relative to the content.
type Driver interface {
	Screen() Screen
	// Create makes an unmapped window with its frame and properties.
	Create(Spec) (Window, error)
	Destroy(Window)
	// Map shows the window; a managed one may be placed elsewhere, which Configured reports.
	Map(Window)
	Unmap(Window)
	// Configure moves and resizes the content.
	Configure(Window, image.Rectangle)
	// SetOverrideRedirect must be called on unmapped windows only.
	SetOverrideRedirect(Window, bool)
	// RaiseOverride puts an override-redirect window on top, but below a screen locker.
	RaiseOverride(Window)
	// SetTitle and SetClass take text that is fit to be shown.
	SetTitle(w Window, title string)
	SetClass(w Window, name, class string)
	SetHints(Window, wire.WindowHints)
	// SetTransient says which window w belongs to; 0 for none.
	SetTransient(w, owner Window)
	SetCursor(Window, wire.Cursor)
	// WriteState replaces the states of an unmapped window.
	WriteState(Window, State)
	// RequestState asks the window manager to set or unset states of a mapped window.
	RequestState(w Window, states State, on bool)
	Iconify(Window)
	// Dock asks the system tray, if there is one, to embed the unmapped window as an icon.
	Dock(Window)

	// Attach makes granted pages ready for Put, the first at byte 0. ErrRefused is wrapped
	// when the qube is to blame; any other error means that they cannot be shown.
	Attach(refs []uint32) (Memory, error)
	// Detach gives up what Attach returned, after all earlier requests.
	Detach(Memory)

	Fill(Window, Colour, ...image.Rectangle)
	// Put copies src of img to dst of the content.
	Put(w Window, img Image, src image.Rectangle, dst image.Point)
	// PutThrough is Put with pixels that filter has changed in place (B, G, R, unused). It
	// waits for the display and is meant for small pictures.
	PutThrough(w Window, img Image, src image.Rectangle, dst image.Point, filter func(pix []byte))
	// Flush sends what was requested.
	Flush()

	// Wake has a value when Poll may have something; Poll appends to buf without waiting.
	Wake() <-chan struct{}
	Poll(buf []Event) []Event
	// Lost is closed when the display is gone, for the reason Err gives.
	Lost() <-chan struct{}
	Err() error
}

// Kind says what an Event is.
type Kind uint8

// The kinds of events, with the fields of Event they use besides Window.
const (
	Key        Kind = iota + 1 // Code (X event number), Pos, State, Detail (keycode)
	Button                     // Code, Pos, State, Detail (button)
	Motion                     // Pos, State
	Crossing                   // Code, Pos, State, Mode, Detail, Focus; when entering Keys, if the qube has the keyboard, and Rect of a docked window
	Focus                      // Code, Mode, Detail, Keys when coming, all up during a grab
	Configured                 // Rect: the content was moved or resized, by whomever
	Mapped                     // Viewable: the window was mapped without Driver.Map
	Exposed                    // Rect, relative to the content
	Closing                    // the user wants the window closed
	Restated                   // States: what the window manager says now
	Embedded                   // Rect: the tray has taken in a docked window
	TrayCame                   // a tray has come up; no Window
	Failed                     // the display cannot be worked with any more; no Window
)

// Event is something that happened on the screen.
type Event struct {
	Kind     Kind
	Window   Window
	Code     uint32
	Pos      image.Point // relative to the content
	State    uint32      // X modifier mask
	Mode     uint32
	Detail   uint32
	Focus    bool
	Viewable bool
	Rect     image.Rectangle
	States   State
	Keys     wire.KeymapNotify
}
