package agent

import (
	"fmt"

	"qubist/gui/wire"

	"github.com/BurntSushi/xgb/randr"
	"github.com/BurntSushi/xgb/xproto"
)

// Bounds of a screen size taken from the daemon, in pixels.
const (
	minScreen = 320
	maxScreen = 16384
)

// dpi is what programs are told; dom0's true figure is none of the qube's business.
const dpi = 96

// resizeScreen makes the X server's screen as large as dom0's, so that the pointer reaches
// every place of every window. A server that cannot keeps its size.
func (s *session) resizeScreen(c wire.XConf) {
	if c.Width < minScreen || c.Height < minScreen || c.Width > maxScreen || c.Height > maxScreen {
		s.log.Warn("absurd screen size ignored", "width", c.Width, "height", c.Height)
		return
	}
	if err := s.setScreen(uint16(c.Width), uint16(c.Height)); err != nil {
		s.log.Info("screen keeps its size", "err", err)
	}
}

func (s *session) setScreen(w, h uint16) error {
	x := s.x.X
	g, err := xproto.GetGeometry(x, xproto.Drawable(s.root)).Reply()
	if err != nil {
		return fmt.Errorf("reading the screen size: %w", err)
	}
	if g.Width == w && g.Height == h {
		return nil
	}
	limits, err := randr.GetScreenSizeRange(x, s.root).Reply()
	if err != nil {
		return fmt.Errorf("reading the screen limits: %w", err)
	}
	if w < limits.MinWidth || h < limits.MinHeight || w > limits.MaxWidth || h > limits.MaxHeight {
		return fmt.Errorf("%d×%d is beyond the server's %d×%d", w, h, limits.MaxWidth, limits.MaxHeight)
	}
	res, err := randr.GetScreenResources(x, s.root).Reply()
	if err != nil {
		return fmt.Errorf("reading the screen's outputs: %w", err)
	}
	if len(res.Outputs) == 0 || len(res.Crtcs) == 0 {
		return fmt.Errorf("the server has no outputs")
	}
	mode, err := s.mode(res, w, h)
	if err != nil {
		return err
	}
	// The screen may not be smaller than what a controller shows: switch it off meanwhile.
	crtc := res.Crtcs[0]
	if _, err := randr.SetCrtcConfig(x, crtc, 0, res.ConfigTimestamp, 0, 0, 0, randr.RotationRotate0, nil).Reply(); err != nil {
		return fmt.Errorf("switching the output off: %w", err)
	}
	mm := func(pixels uint16) uint32 { return uint32(pixels) * 254 / dpi / 10 }
	sizeErr := randr.SetScreenSizeChecked(x, s.root, w, h, mm(w), mm(h)).Check()
	if _, err := randr.SetCrtcConfig(x, crtc, 0, res.ConfigTimestamp, 0, 0, mode, randr.RotationRotate0, res.Outputs[:1]).Reply(); err != nil {
		return fmt.Errorf("switching the output on: %w", err)
	}
	if sizeErr != nil {
		return fmt.Errorf("resizing the screen: %w", sizeErr)
	}
	return nil
}

// mode finds or makes a mode of the size and gives it to the first output.
func (s *session) mode(res *randr.GetScreenResourcesReply, w, h uint16) (randr.Mode, error) {
	x := s.x.X
	var mode randr.Mode
	for _, m := range res.Modes {
		if m.Width == w && m.Height == h {
			mode = randr.Mode(m.Id)
			break
		}
	}
	if mode == 0 {
		// Any timing will do: nothing scans it out. 60 pictures a second by the numbers.
		name := fmt.Sprintf("QB%dx%d", w, h)
		total, lines := w+160, h+40
		r, err := randr.CreateMode(x, s.root, randr.ModeInfo{
			Width: w, Height: h, DotClock: uint32(total) * uint32(lines) * 60,
			HsyncStart: w + 40, HsyncEnd: w + 80, Htotal: total,
			VsyncStart: h + 10, VsyncEnd: h + 20, Vtotal: lines, NameLen: uint16(len(name)),
		}, name).Reply()
		if err != nil {
			return 0, fmt.Errorf("making mode %s: %w", name, err)
		}
		mode = r.Mode
	}
	if err := randr.AddOutputModeChecked(x, res.Outputs[0], mode).Check(); err != nil {
		return 0, fmt.Errorf("giving the output a mode of %d×%d: %w", w, h, err)
	}
	return mode, nil
}
