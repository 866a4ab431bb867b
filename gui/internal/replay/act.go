package replay

import (
	"encoding/json"
	"fmt"
	"image"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/BurntSushi/xgb/xproto"
	"github.com/BurntSushi/xgb/xtest"
)

// actors are the other X clients of a conversation.
type actors struct {
	foreign  xproto.Window
	named    map[xproto.Window]string // lockers, foreign window, tray
	tray     xproto.Window
	owner    xproto.Window // of the tray's selection
	embedded int
	saw      []TraySaw
	victim   *exec.Cmd
}

// target starts a process to be named by -K.
func (a *actors) target(s *stage) int {
	a.victim = exec.Command("sleep", "60")
	if err := a.victim.Start(); err != nil {
		s.t.Fatal(err)
	}
	v := a.victim
	s.cleanup = append(s.cleanup, func() { _ = v.Process.Kill(); _ = v.Wait() })
	return v.Process.Pid
}

// perform does one step.
func (s *stage) perform(st *Step) error {
	for _, g := range st.Grants {
		if err := s.pages.add(g); err != nil {
			return err
		}
	}
	if st.NowHolds != nil {
		if err := s.pages.change(*st.NowHolds); err != nil {
			return err
		}
	}
	s.prepareLockers(st)
	switch b, err := st.bytes(); {
	case err != nil:
		return err
	case len(b) > 0:
		return s.agent.send(b)
	}
	if in := st.inputs(); in != nil {
		return s.input(in)
	}
	if a := st.action(); a != "" {
		return s.act(a)
	}
	return s.other(st.Text())
}

// input plays the user.
func (s *stage) input(in []Input) error {
	// All at once: what the daemon does upon one event comes after the last.
	xproto.GrabServer(s.c.X)
	defer xproto.UngrabServer(s.c.X)
	for _, i := range in {
		var typ, detail byte
		var x, y int
		switch {
		case i.KeyPress != nil:
			typ, detail = xproto.KeyPress, i.Keycode
		case i.KeyRelease != nil:
			typ, detail = xproto.KeyRelease, i.Keycode
		case i.Press != nil:
			typ, detail = xproto.ButtonPress, *i.Press
		case i.Release != nil:
			typ, detail = xproto.ButtonRelease, *i.Release
		case i.Pointer != nil:
			typ, x, y = xproto.MotionNotify, i.Pointer[0], i.Pointer[1]
		}
		xtest.FakeInput(s.c.X, typ, detail, 0, s.c.Screen.Root, int16(x), int16(y), 0)
	}
	return s.c.Sync()
}

// other are steps of neither agent, user nor X client.
func (s *stage) other(what string) error {
	switch what {
	case "start", "start without shm file", "started without -f; agent listens", "state of the process named by -K":
		return nil
	case "agent closes the channel", "agent closes at once", "agent closes the channel with a mapped window":
		s.agent.close()
		return nil
	case "SIGHUP to the daemon":
		return s.daemon.Process.Signal(syscall.SIGHUP)
	case "SIGTERM to the daemon":
		return s.daemon.Process.Signal(syscall.SIGTERM)
	case "SIGUSR1 to the daemon":
		return s.daemon.Process.Signal(syscall.SIGUSR1)
	case "a tray owner exists":
		s.makeTray(false)
		return nil
	case "tray handles the request", "tray handles the second request":
		return s.trayHandles()
	case "tray owner goes away":
		xproto.DestroyWindow(s.c.X, s.actors.tray)
		xproto.DestroyWindow(s.c.X, s.actors.owner)
		s.actors.tray = 0
		return nil
	case "a tray appears later and announces itself":
		s.makeTray(true)
		return s.trayHandles()
	case "after 0.5 s":
		time.Sleep(500 * time.Millisecond)
		return nil
	case "after 3.2 s":
		time.Sleep(2700 * time.Millisecond)
		return nil
	}
	return fmt.Errorf("no idea how to do %q", what)
}

var (
	moveTo      = regexp.MustCompile(`^another client asks to move(?: the window)? to (-?\d+),(-?\d+)`)
	resizeTo    = regexp.MustCompile(`^another client (?:asks to resize to|resizes to|asks for) (\d+)x(\d+)`)
	configureTo = regexp.MustCompile(`^another client configures (?:the window|window (\d+)): (\{.*\})$`)
	focusTo     = regexp.MustCompile(`^focus to window (\d+)`)
	activates   = regexp.MustCompile(`^user activates window (\d+)`)
	workArea    = regexp.MustCompile(`^work area becomes (\d+),(\d+) (\d+)x(\d+)$`)
)

// act is what another X client does.
func (s *stage) act(what string) error {
	if m := focusTo.FindStringSubmatch(what); m != nil {
		w, err := s.local(m[1])
		xproto.SetInputFocus(s.c.X, xproto.InputFocusParent, w, 0)
		return err
	}
	if m := activates.FindStringSubmatch(what); m != nil {
		w, err := s.local(m[1])
		s.tellRoot(w, "_NET_ACTIVE_WINDOW", 2)
		return err
	}
	if m := moveTo.FindStringSubmatch(what); m != nil {
		return s.configure("", map[string]int{"x": atoi(m[1]), "y": atoi(m[2])})
	}
	if m := resizeTo.FindStringSubmatch(what); m != nil {
		return s.configure("", map[string]int{"width": atoi(m[1]), "height": atoi(m[2])})
	}
	if m := configureTo.FindStringSubmatch(what); m != nil {
		var to map[string]int
		if err := json.Unmarshal([]byte(m[2]), &to); err != nil {
			return err
		}
		return s.configure(m[1], to)
	}
	if m := workArea.FindStringSubmatch(what); m != nil {
		s.setRoot("_NET_CURRENT_DESKTOP", "CARDINAL", 0)
		s.setRoot("_NET_WORKAREA", "CARDINAL", uint32(atoi(m[1])), uint32(atoi(m[2])), uint32(atoi(m[3])), uint32(atoi(m[4])))
		return nil
	}
	return s.plainAct(what)
}

func (s *stage) plainAct(what string) error {
	root := s.c.Screen.Root
	state := func(action uint32, names ...string) error {
		w, err := s.local("1")
		data := []uint32{action, 0, 0, 2}
		for i, n := range names {
			data[1+i] = uint32(s.look.atom(n))
		}
		s.tellRoot(w, "_NET_WM_STATE", data...)
		return err
	}
	switch what {
	case "focus to none":
		xproto.SetInputFocus(s.c.X, xproto.InputFocusParent, 0, 0)
	case "focus to pointer root":
		xproto.SetInputFocus(s.c.X, xproto.InputFocusParent, 1, 0)
	case "pointer grab by another client":
		_, err := xproto.GrabPointer(s.c.X, false, root, 0, xproto.GrabModeAsync, xproto.GrabModeAsync, 0, 0, 0).Reply()
		return err
	case "keyboard grab by another client":
		_, err := xproto.GrabKeyboard(s.c.X, false, root, 0, xproto.GrabModeAsync, xproto.GrabModeAsync).Reply()
		return err
	case "ungrab":
		xproto.UngrabPointer(s.c.X, 0)
		xproto.UngrabKeyboard(s.c.X, 0)
	case "foreign window covers it":
		return s.cover("1", func(r image.Rectangle) image.Rectangle { return r })
	case "foreign window covers the left border strip":
		return s.cover("2", func(r image.Rectangle) image.Rectangle { r.Max.X = r.Min.X + 1; return r })
	case "covers left half":
		return s.cover("2", func(r image.Rectangle) image.Rectangle { r.Max.X = r.Min.X + r.Dx()/2; return r })
	case "and goes away (Expose)", "goes away":
		xproto.DestroyWindow(s.c.X, s.actors.foreign)
		delete(s.actors.named, s.actors.foreign)
	case "another client maps the window that the agent unmapped", "and maps it":
		w, err := s.local("")
		xproto.MapWindow(s.c.X, w)
		return err
	case "and unmaps it", "another client unmaps the mapped window":
		w, err := s.local("")
		xproto.UnmapWindow(s.c.X, w)
		return err
	case "another client destroys the local window":
		w, err := s.local("")
		xproto.DestroyWindow(s.c.X, w)
		return err
	case "user makes it fullscreen (pager message)":
		return state(1, "_NET_WM_STATE_FULLSCREEN")
	case "user maximises":
		return state(1, "_NET_WM_STATE_MAXIMIZED_VERT", "_NET_WM_STATE_MAXIMIZED_HORZ")
	case "user un-maximises vertically":
		return state(0, "_NET_WM_STATE_MAXIMIZED_VERT")
	case "user sets demands-attention":
		return state(1, "_NET_WM_STATE_DEMANDS_ATTENTION")
	case "and clears it":
		return state(0, "_NET_WM_STATE_DEMANDS_ATTENTION")
	case "user sets sticky (not forwarded)":
		return state(1, "_NET_WM_STATE_STICKY")
	case "user iconifies (WM_CHANGE_STATE)":
		w, err := s.local("1")
		s.tellRoot(w, "WM_CHANGE_STATE", 3)
		return err
	case "user de-iconifies (_NET_ACTIVE_WINDOW)":
		w, err := s.local("1")
		s.tellRoot(w, "_NET_ACTIVE_WINDOW", 2)
		return err
	case "lockers unmapped":
		for w, name := range s.actors.named {
			if strings.HasPrefix(name, "locker") {
				xproto.UnmapWindow(s.c.X, w)
			}
		}
	case "class of the locker becomes work:mylock":
		for w, name := range s.actors.named {
			if name == "locker" {
				s.setClass(w, "work:mylock")
			}
		}
	case "_NET_CURRENT_DESKTOP becomes malformed":
		s.setRoot("_NET_CURRENT_DESKTOP", "CARDINAL", 0, 1)
	case "work area becomes absurd (width 2000000): old one kept":
		s.setRoot("_NET_WORKAREA", "CARDINAL", 0, 0, 2000000, 500)
	case "work area with three items: old one kept":
		s.setRoot("_NET_WORKAREA", "CARDINAL", 0, 0, 500)
	case "work area removed":
		xproto.DeleteProperty(s.c.X, root, s.look.atom("_NET_WORKAREA"))
	case "_XEMBED FOCUS_IN":
		const focusIn = 4
		return s.tellIcon("1", focusIn)
	case "tray moves to 700,40":
		xproto.ConfigureWindow(s.c.X, s.actors.tray, xproto.ConfigWindowX|xproto.ConfigWindowY, []uint32{700, 40})
	case "agent changes all pages to solid 445566, sends nothing":
		s.pages.mu.Lock()
		g := s.pages.runs[0].Grants
		s.pages.mu.Unlock()
		g.Pattern, g.Tag = "solid", 0x445566
		return s.pages.change(g)
	default:
		return fmt.Errorf("no idea how to do %q", what)
	}
	return nil
}

func atoi(s string) int {
	n, _ := strconv.Atoi(s)
	return n
}

// local finds the window of a remote id; "" is the only one, or the first.
func (s *stage) local(remote string) (xproto.Window, error) {
	see := s.look.see(s.actors.named, s.actors.tray)
	if remote == "" && len(see.windows) > 0 {
		remote = fmt.Sprint(see.windows[0].Remote)
	}
	if n := see.byNum[uint32(atoi(remote))]; n != nil {
		return n.id, nil
	}
	return 0, fmt.Errorf("there is no window %s", remote)
}

func (s *stage) configure(remote string, to map[string]int) error {
	w, err := s.local(remote)
	var mask uint16
	var vs []uint32
	for i, k := range []string{"x", "y", "width", "height"} {
		if v, ok := to[k]; ok {
			mask |= 1 << i
			vs = append(vs, uint32(int32(v)))
		}
	}
	xproto.ConfigureWindow(s.c.X, w, mask, vs)
	return err
}

// tellRoot sends a client message about w to the root window, as a pager does.
func (s *stage) tellRoot(w xproto.Window, typ string, data ...uint32) {
	data = append(data, make([]uint32, 5-len(data))...)
	ev := xproto.ClientMessageEvent{Format: 32, Window: w, Type: s.look.atom(typ), Data: xproto.ClientMessageDataUnionData32New(data)}
	xproto.SendEvent(s.c.X, false, s.c.Screen.Root, xproto.EventMaskSubstructureNotify|xproto.EventMaskSubstructureRedirect, string(ev.Bytes()))
}

// plain makes an override-redirect window of another client.
func (s *stage) plain(name string, r image.Rectangle, class string) xproto.Window {
	id, err := s.c.NewID()
	if err != nil {
		s.t.Fatal(err)
	}
	w := xproto.Window(id)
	xproto.CreateWindow(s.c.X, 0, w, s.c.Screen.Root, int16(r.Min.X), int16(r.Min.Y), uint16(r.Dx()), uint16(r.Dy()), 0,
		xproto.WindowClassInputOutput, 0, xproto.CwBackPixel|xproto.CwOverrideRedirect, []uint32{0x202020, 1})
	if class != "" {
		s.setClass(w, class)
	}
	xproto.MapWindow(s.c.X, w)
	if s.actors.named == nil {
		s.actors.named = map[xproto.Window]string{}
	}
	s.actors.named[w] = name
	return w
}

func (s *stage) setClass(w xproto.Window, name string) {
	v := name + "\x00" + name + "\x00"
	xproto.ChangeProperty(s.c.X, xproto.PropModeReplace, w, xproto.AtomWmClass, xproto.AtomString, 8, uint32(len(v)), []byte(v))
}

func (s *stage) cover(remote string, f func(image.Rectangle) image.Rectangle) error {
	see := s.look.see(s.actors.named, 0)
	n := see.byNum[uint32(atoi(remote))]
	if n == nil {
		return fmt.Errorf("there is no window %s", remote)
	}
	s.actors.foreign = s.plain("foreign", f(n.rect), "")
	return nil
}

// prepareLockers puts up the screen lockers that a step found, which no step mentions.
func (s *stage) prepareLockers(st *Step) {
	class := "xscreensaver"
	if strings.Contains(s.conv.ID, "named") {
		class = "mylock"
	}
	have := map[string]bool{}
	for _, name := range s.actors.named {
		have[name] = true
	}
	for _, name := range []string{"locker", "locker2"} {
		for _, o := range st.Stacking {
			if o == name && !have[name] {
				s.plain(name, image.Rect(0, 0, int(s.c.Screen.WidthInPixels), int(s.c.Screen.HeightInPixels)), class)
				s.settle()
			}
		}
	}
}

// The tray is one window at this place, in which icons get a square each.
var trayAt = image.Pt(600, 20)

const (
	traySize = 24
	trayLong = 200
)

// icon is how large the tray makes icons.
func (s *stage) icon() int {
	if strings.Contains(s.conv.ID, "big-tray") {
		return 2 * traySize
	}
	return traySize
}

// makeTray makes a tray; a late one says so.
func (s *stage) makeTray(announce bool) {
	r := image.Rectangle{trayAt, trayAt.Add(image.Pt(trayLong, s.icon()))}
	s.actors.tray = s.plain("tray", r, "")
	s.actors.owner = s.actors.tray
	selection := s.look.atom("_NET_SYSTEM_TRAY_S0")
	xproto.SetSelectionOwner(s.c.X, s.actors.owner, selection, 0)
	if announce {
		ev := xproto.ClientMessageEvent{Format: 32, Window: s.c.Screen.Root, Type: s.look.atom("MANAGER"),
			Data: xproto.ClientMessageDataUnionData32New([]uint32{0, uint32(selection), uint32(s.actors.owner), 0, 0})}
		xproto.SendEvent(s.c.X, false, s.c.Screen.Root, xproto.EventMaskStructureNotify, string(ev.Bytes()))
	}
}

// trayHandles waits for the request to dock and embeds the icon it names.
func (s *stage) trayHandles() error {
	for deadline := time.Now().Add(time.Second); ; time.Sleep(time.Millisecond) {
		for _, e := range s.c.Poll(nil) {
			m, ok := e.Event.(xproto.ClientMessageEvent)
			if !ok || m.Type != s.look.atom("_NET_SYSTEM_TRAY_OPCODE") {
				continue
			}
			return s.embed(xproto.Window(m.Data.Data32[2]), m.Data.Data32)
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("the tray was asked nothing")
		}
	}
}

func (s *stage) embed(icon xproto.Window, data []uint32) error {
	see := s.look.see(s.actors.named, s.actors.tray)
	s.actors.saw = append(s.actors.saw, TraySaw{[]any{float64(data[0]), float64(data[1]), fmt.Sprintf("remote:%d", see.byID[icon])}})
	size := s.icon()
	id, err := s.c.NewID()
	if err != nil {
		return err
	}
	box := xproto.Window(id)
	xproto.CreateWindow(s.c.X, 0, box, s.actors.tray, int16(s.actors.embedded*size), 0, uint16(size), uint16(size), 0,
		xproto.WindowClassInputOutput, 0, xproto.CwBackPixel, []uint32{0x404040})
	s.actors.embedded++
	xproto.MapWindow(s.c.X, box)
	xproto.ReparentWindow(s.c.X, icon, box, 0, 0)
	xproto.ConfigureWindow(s.c.X, icon, xproto.ConfigWindowWidth|xproto.ConfigWindowHeight, []uint32{uint32(size), uint32(size)})
	xproto.MapWindow(s.c.X, icon)
	const embeddedNotify = 0
	s.xembed(icon, embeddedNotify, uint32(box))
	return s.c.Sync()
}

func (s *stage) tellIcon(remote string, opcode uint32) error {
	w, err := s.local(remote)
	s.xembed(w, opcode, 0)
	return err
}

func (s *stage) xembed(icon xproto.Window, opcode, data uint32) {
	ev := xproto.ClientMessageEvent{Format: 32, Window: icon, Type: s.look.atom("_XEMBED"),
		Data: xproto.ClientMessageDataUnionData32New([]uint32{0, opcode, 0, data, 0})}
	xproto.SendEvent(s.c.X, false, icon, xproto.EventMaskNoEvent, string(ev.Bytes()))
}
