package main

import (
	"context"
	"errors"
	"fmt"
	"image/color"
	"image/png"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"qubist/core/paths"
	"qubist/gui/internal/daemon"
	"qubist/gui/internal/display/x11"
	"qubist/gui/internal/helper"
	"qubist/gui/internal/options"
	"qubist/gui/internal/runfile"
	"qubist/gui/internal/window"
	"qubist/gui/internal/xconn"
	"qubist/gui/wire"
)

// errKilled: the user had the qube killed, which ended with this status.
type errKilled struct{ status int }

func (errKilled) Error() string { return "the user has terminated the qube" }

// live fills cfg with what happens around sessions. The function it returns undoes what
// must not outlive the daemon.
func live(ctx context.Context, o *options.Options, p paths.Paths, cfg *daemon.Config) (end func(), err error) {
	log := cfg.Log
	h := &helper.Helper{Name: string(o.Name), KDE: os.Getenv("KDE_SESSION_UID") != "", Log: log}
	cfg.Window = window.Config{
		Name: string(o.Name), TitlePrefix: o.TitlePrefix && !o.Own, Titles: titles(o),
		AllowFullscreen: o.AllowFullscreen, DenyOverride: o.DenyOverride, NoOverrideLimit: o.NoOverrideLimit,
		Exact: !o.Own, Invisible: o.Invisible, InDom0: !o.GuiVM, Tray: o.Tray, Now: time.Now, Log: log,
	}
	if o.Own {
		return func() {}, nil
	}
	files, err := runfile.Start(p.Run, uint32(o.Domain))
	if err != nil {
		return nil, err
	}
	cfg.Connected = func() error {
		if err := files.Connected(); err != nil {
			return err
		}
		if !o.GuiVM {
			h.Keyboard(ctx)
		}
		return nil
	}
	cfg.Disconnected = files.Disconnected
	cfg.Outdated = func(err error) {
		h.Error(ctx, fmt.Sprintf("The windows of the qube %q cannot be shown: %v.", o.Name, err))
	}
	cfg.Window.Warn = func(text string) { h.Notify(ctx, "WARNING", text, true) }
	cfg.Window.Suspicious = func(t wire.Type) error { return ask(ctx, h, t) }
	return files.End, nil
}

func titles(o *options.Options) window.Titles {
	switch {
	case o.Own:
		return window.TitlesSafe
	case o.UTF8Titles:
		return window.TitlesUTF8
	}
	return window.TitlesASCII
}

// ask leaves a suspicious message to the user; nil ignores it.
func ask(ctx context.Context, h *helper.Helper, t wire.Type) error {
	switch h.Suspicious(ctx, t) {
	case helper.Ignore:
		return nil
	case helper.Terminate:
		n, err := h.Kill(ctx)
		if err != nil {
			return err
		}
		return errKilled{n}
	}
	return errors.New("the user was asked in vain")
}

// appearance turns options into those of the display.
func appearance(c *xconn.Conn, o *options.Options, log *slog.Logger) (x11.Options, error) {
	opt := x11.Options{Own: o.Own, Name: string(o.Name), Label: o.Label, Lockers: o.Lockers, Log: log}
	var err error
	if opt.Colour, err = x11.ParseColour(c, o.Colour); err != nil {
		return opt, fmt.Errorf("the label's colour: %w", err)
	}
	if opt.Ground, err = x11.ParseColour(c, o.Ground); err != nil {
		return opt, fmt.Errorf("the windows' background: %w", err)
	}
	for _, p := range o.Props {
		opt.Props = append(opt.Props, x11.Prop(p))
	}
	if o.Icon != "" {
		opt.IconName = o.Icon
		if filepath.IsAbs(o.Icon) {
			if opt.Icon, err = readIcon(o.Icon); err != nil {
				log.Warn("the icon cannot be used", "file", o.Icon, "err", err)
			} else {
				opt.IconName = string(o.Name)
			}
		}
	}
	return opt, nil
}

// maxIcon bounds the icon in each direction, in pixels.
const maxIcon = 128

// readIcon reads a PNG file with an alpha channel.
func readIcon(path string) (*x11.Icon, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	head, err := png.DecodeConfig(f)
	if err != nil {
		return nil, err
	}
	if head.Width > maxIcon || head.Height > maxIcon {
		return nil, fmt.Errorf("%d × %d pixels are too many", head.Width, head.Height)
	}
	if _, err := f.Seek(0, 0); err != nil {
		return nil, err
	}
	img, err := png.Decode(f)
	if err != nil {
		return nil, err
	}
	icon := &x11.Icon{Width: head.Width, Height: head.Height}
	for y := range head.Height {
		for x := range head.Width {
			icon.Pix = append(icon.Pix, argb(img.At(x, y)))
		}
	}
	return icon, nil
}

// argb is a colour as 0xAARRGGBB, not premultiplied.
func argb(c color.Color) uint32 {
	n := color.NRGBAModel.Convert(c).(color.NRGBA)
	return uint32(n.A)<<24 | uint32(n.R)<<16 | uint32(n.G)<<8 | uint32(n.B)
}
