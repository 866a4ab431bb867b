// Package options is the window daemon's command line and configuration file: the
// original's, whole, and our own additions. It opens only the configuration file.
package options

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"qubist/core/paths"
	"qubist/core/qube"
	"qubist/gui/internal/libconfig"
	"qubist/gui/internal/tray"
)

// Limits of spec gui-protocol.md §3 and §12.
const (
	maxConfigPath = 63
	maxProps      = 10
	maxLockers    = 10
	// MinClipboard and MaxClipboard bound the most bytes of a copy.
	MinClipboard = 256
	MaxClipboard = 256000
	// maxDelay bounds events_max_delay, in milliseconds.
	maxDelay = 5000
)

// ErrHelp: help or the version was asked for; Options.Print says what to print.
var ErrHelp = errors.New("help requested")

// Prop is a property of -p, to be put on every window.
type Prop struct {
	Name string
	Kind byte   // 's' text, 'a' atom, 'c' cardinals
	Text string // of kinds s and a
	Nums []uint32
}

// Options are all settings. Colours are as the user wrote them, for ParseColour.
type Options struct {
	Root, Region, Grants string
	ReadyFD              int
	Own                  bool // frames are ours
	GuiVM                bool // this is not dom0

	Domain, Target qube.DomID
	Name           qube.Name
	Colour         string
	Label          int
	Icon           string
	Level          int // 0 errors, 1 basic, 2 and more details
	Foreground     bool
	Background     bool
	Invisible      bool
	QrexecClip     bool
	KillPID        int
	Props          []Prop
	TitlePrefix    bool
	Lockers        []string

	Tray             tray.Mode
	Ground           string
	AllowFullscreen  bool
	NoOverrideLimit  bool
	DenyOverride     bool
	UTF8Titles       bool
	Copy, Paste      string // key sequences
	StartupTimeout   int    // seconds
	MaxClip          int    // bytes
	EventsDelay      int    // milliseconds
	config           string
	Print            string
	domains, targets int
}

// Parse reads the command line, then the configuration file it names, over which the
// command line prevails.
func Parse(words []string) (*Options, error) {
	o := &Options{ReadyFD: -1, Own: true, Colour: "red", Level: 1, Ground: "white", Tray: tray.Default,
		Copy: "Ctrl-Shift-c", Paste: "Ctrl-Shift-v", StartupTimeout: 45, MaxClip: 64000}
	var late []func() error // what prevails over the configuration file
	if err := parse(words, o.flags(&late)); err != nil {
		return nil, err
	}
	if o.Print != "" {
		return o, ErrHelp
	}
	if err := o.check(); err != nil {
		return nil, err
	}
	if err := o.readConfig(); err != nil {
		return nil, err
	}
	for _, f := range late {
		if err := f(); err != nil {
			return nil, err
		}
	}
	if len(o.Lockers) == 0 {
		o.Lockers = []string{"xscreensaver"}
	}
	if o.Foreground {
		o.KillPID = 0
	}
	return o, nil
}

func (o *Options) check() error {
	switch {
	case o.domains != 1:
		return errors.New("exactly one domain (-d) is needed")
	case o.Name == "":
		return errors.New("the qube's name (-N) is needed")
	}
	if o.Target == 0 {
		o.Target = o.Domain
	}
	if o.Target != o.Domain {
		o.QrexecClip = true
	}
	return nil
}

func (o *Options) flags(late *[]func() error) []flag {
	text := func(to *string) func(string) error {
		return func(v string) error { *to = v; return nil }
	}
	on := func(to *bool) func() { return func() { *to = true } }
	after := func(set func(string) error) func(string) error {
		return func(v string) error {
			*late = append(*late, func() error { return set(v) })
			return nil
		}
	}
	return []flag{
		{0, "root", text(&o.Root), nil},
		{0, "ready-fd", integer(&o.ReadyFD), nil},
		{0, "region", text(&o.Region), nil},
		{0, "grants", text(&o.Grants), nil},
		{0, "frame", o.setFrame, nil},
		{0, "guivm", nil, on(&o.GuiVM)},
		{'d', "domid", func(v string) error { o.domains++; return domain(&o.Domain, v) }, nil},
		{'t', "target-domid", func(v string) error { o.targets++; return domain(&o.Target, v) }, nil},
		{'N', "name", o.setName, nil},
		{'c', "color", text(&o.Colour), nil},
		{'l', "label", integer(&o.Label), nil},
		{'i', "icon", text(&o.Icon), nil},
		{'C', "config", o.setConfig, nil},
		{'v', "verbose", nil, func() { o.Level++ }},
		{'q', "quiet", nil, func() { o.Level = max(0, o.Level-1) }},
		{'n', "background", nil, on(&o.Background)},
		{'f', "foreground", nil, on(&o.Foreground)},
		{'I', "invisible", nil, on(&o.Invisible)},
		{'Q', "qrexec-for-clipboard", nil, on(&o.QrexecClip)},
		{'K', "kill-on-connect", integer(&o.KillPID), nil},
		{'p', "prop", o.addProp, nil},
		{'T', "title-name", nil, on(&o.TitlePrefix)},
		{0, "trayicon-mode", after(o.setTray), nil},
		{0, "screensaver-name", o.addLocker, nil},
		{0, "max-clipboard-size", after(o.setClip), nil},
		{0, "override-redirect", after(o.setOverride), nil},
		{'h', "help", nil, func() { o.Print = Usage }},
		{0, "version", nil, func() { o.Print = "qubes-guid of Qubist, GUI protocol 1.8\n" }},
	}
}

// Usage is the help text.
const Usage = `usage: qubes-guid -d DOMID -N NAME [options]
  -d, --domid=N             domain of the window agent
  -t, --target-domid=N      the qube itself when -d is its stub domain
  -N, --name=NAME           name of the qube
  -c, --color=COLOUR        label's colour: 0xRRGGBB or an X colour (red)
  -l, --label=N             label's index
  -i, --icon=FILE           picture of windows, a PNG file, or a name
  -C, --config=FILE         configuration file
  -p, --prop=NAME=T:VALUE   property of every window; T is s, a or c
  -T, --title-name          titles start with [name]
  -Q, --qrexec-for-clipboard
  -I, --invisible           show no windows
  -v, -q                    log more, less
  -f, -n, -K PID            foreground; do not wait for the agent; tell PID when it is there
  --trayicon-mode=MODE --screensaver-name=NAME --max-clipboard-size=N
  --override-redirect=allow|disabled
  --frame=own|wm            who draws frames: we (own) or the window manager
  --guivm                   this is not dom0
  --region=FILE             window region
  --grants=SOCKET           broker that maps the qube's granted pages
  --root=DIR --ready-fd=N
`

func integer(to *int) func(string) error {
	return func(v string) error {
		n, err := strconv.ParseInt(v, 0, 32)
		if err != nil {
			return fmt.Errorf("%q is no number", v)
		}
		*to = int(n)
		return nil
	}
}

func domain(to *qube.DomID, v string) error {
	n, err := strconv.ParseUint(v, 10, 16)
	if err != nil || n < 1 || n > uint64(qube.MaxDomID) {
		return fmt.Errorf("domain %q is not between 1 and %d", v, qube.MaxDomID)
	}
	*to = qube.DomID(n)
	return nil
}

func (o *Options) setFrame(v string) error {
	if v != "own" && v != "wm" {
		return fmt.Errorf("frame mode %q is neither own nor wm", v)
	}
	o.Own = v == "own"
	return nil
}

func (o *Options) setName(v string) (err error) {
	o.Name, err = qube.ParseName(v)
	return err
}

func (o *Options) setConfig(v string) error {
	if len(v) > maxConfigPath {
		return fmt.Errorf("the path has more than %d bytes", maxConfigPath)
	}
	o.config = v
	return nil
}

func (o *Options) addLocker(v string) error {
	if len(o.Lockers) == maxLockers {
		return fmt.Errorf("more than %d names", maxLockers)
	}
	o.Lockers = append(o.Lockers, v)
	return nil
}

func (o *Options) setTray(v string) (err error) {
	o.Tray, err = tray.ParseMode(v)
	return err
}

func (o *Options) setClip(v string) error {
	n, err := strconv.Atoi(v)
	if err != nil || n < MinClipboard || n > MaxClipboard {
		return fmt.Errorf("clipboard size %q is not between %d and %d", v, MinClipboard, MaxClipboard)
	}
	o.MaxClip = n
	return nil
}

func (o *Options) setOverride(v string) error {
	if v != "allow" && v != "disabled" {
		return fmt.Errorf("override-redirect setting %q is neither allow nor disabled", v)
	}
	o.DenyOverride = v == "disabled"
	return nil
}

// addProp reads NAME=s:text, NAME=a:atom or NAME=c:1,2,3.
func (o *Options) addProp(v string) error {
	if len(o.Props) == maxProps {
		return fmt.Errorf("more than %d properties", maxProps)
	}
	name, value, ok := strings.Cut(v, "=")
	if !ok || name == "" || len(value) < 2 || value[1] != ':' {
		return fmt.Errorf("property %q is not of the form NAME=T:VALUE", v)
	}
	p := Prop{Name: name, Kind: value[0], Text: value[2:]}
	switch p.Kind {
	case 's', 'a':
	case 'c':
		for item := range strings.SplitSeq(p.Text, ",") {
			n, err := strconv.ParseUint(item, 0, 32)
			if err != nil {
				return fmt.Errorf("property %q: %q is no number", v, item)
			}
			p.Nums = append(p.Nums, uint32(n))
		}
	default:
		return fmt.Errorf("property %q: type %q is none of s, a, c", v, p.Kind)
	}
	o.Props = append(o.Props, p)
	return nil
}

// configName is the configuration file that is read when -C names none.
const configName = "guid.conf"

func (o *Options) readConfig() error {
	path, chosen := o.config, o.config != ""
	if !chosen {
		p, err := paths.New(o.Root)
		if err != nil {
			return err
		}
		path = filepath.Join(p.Etc, configName)
	}
	f, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) && !chosen {
		return nil
	}
	if err != nil {
		return fmt.Errorf("reading the configuration: %w", err)
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, libconfig.MaxSize+1))
	if err != nil {
		return fmt.Errorf("reading the configuration: %w", err)
	}
	if err := o.configure(string(b)); err != nil {
		return fmt.Errorf("configuration %s: %w", path, err)
	}
	return nil
}

// configure takes over the settings of the group "global". Unknown ones are passed over,
// as files are shared with other versions.
func (o *Options) configure(text string) error {
	file, err := libconfig.Parse(text)
	if err != nil {
		return err
	}
	global, ok := file["global"].(libconfig.Group)
	if file["global"] != nil && !ok {
		return errors.New(`"global" is not a group`)
	}
	for _, s := range []struct {
		name string
		to   any
	}{
		{"allow_fullscreen", &o.AllowFullscreen}, {"allow_utf8_titles", &o.UTF8Titles},
		{"override_redirect_protection", func(v bool) error { o.NoOverrideLimit = !v; return nil }},
		{"override_redirect", o.setOverride}, {"trayicon_mode", o.setTray},
		{"secure_copy_sequence", &o.Copy}, {"secure_paste_sequence", &o.Paste}, {"window_background_color", &o.Ground},
		{"startup_timeout", &o.StartupTimeout}, {"max_clipboard_size", o.configClip},
		{"events_max_delay", o.setDelay}, {"log_level", &o.Level},
	} {
		if v, ok := global[s.name]; ok {
			if err := assign(s.to, v); err != nil {
				return fmt.Errorf("%s: %w", s.name, err)
			}
		}
	}
	return nil
}

// configClip passes over sizes out of range, as the original does.
func (o *Options) configClip(n int) error {
	if n >= MinClipboard && n <= MaxClipboard {
		o.MaxClip = n
	}
	return nil
}

func (o *Options) setDelay(n int) error {
	if n < 0 || n > maxDelay {
		return fmt.Errorf("%d ms is not between 0 and %d", n, maxDelay)
	}
	o.EventsDelay = n
	return nil
}

// assign stores v in a variable or hands it to a function of its type.
func assign(to, v any) error {
	switch v := v.(type) {
	case bool:
		switch to := to.(type) {
		case *bool:
			*to = v
			return nil
		case func(bool) error:
			return to(v)
		}
	case string:
		switch to := to.(type) {
		case *string:
			*to = v
			return nil
		case func(string) error:
			return to(v)
		}
	case int64:
		if v != int64(int32(v)) {
			return fmt.Errorf("%d is out of range", v)
		}
		switch to := to.(type) {
		case *int:
			*to = int(v)
			return nil
		case func(int) error:
			return to(int(v))
		}
	}
	return fmt.Errorf("value of the wrong type: %v", v)
}
