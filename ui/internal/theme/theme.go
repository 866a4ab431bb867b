// Package theme says which colours and attributes the console's words have: one Theme per
// terminal ability (true colour, 256, 16, none) and background (dark, light). It draws
// nothing and knows no screens. Colour never carries a meaning alone: a label's chip stands
// beside its name, a state's colour beside its word.
package theme

import (
	"image/color"

	"charm.land/lipgloss/v2"
	"github.com/charmbracelet/colorprofile"
	"github.com/charmbracelet/x/ansi"
)

// Style is how a cell looks. It is comparable; the zero value is the terminal's default.
type Style struct {
	FG, BG                         color.Color
	Bold, Faint, Underline, Invert bool
}

// Over returns s with the background (or inversion) of the row below it. An inverted row has
// no colours of its own, so that it is legible in every terminal.
func (s Style) Over(row Style) Style {
	if row.Invert {
		return Style{Invert: true, Bold: s.Bold, Underline: s.Underline}
	}
	if s.BG == nil {
		s.BG = row.BG
	}
	s.Bold = s.Bold || row.Bold
	return s
}

// Sequence is the SGR sequence that switches from the default to s, "" for the default.
func (s Style) Sequence() string {
	if s == (Style{}) {
		return ""
	}
	a := ansi.NewStyle()
	if s.Bold {
		a = a.Bold()
	}
	if s.Faint {
		a = a.Faint()
	}
	if s.Underline {
		a = a.Underline(true)
	}
	if s.Invert {
		a = a.Reverse(true)
	}
	if s.FG != nil {
		a = a.ForegroundColor(s.FG)
	}
	if s.BG != nil {
		a = a.BackgroundColor(s.BG)
	}
	return a.String()
}

// Theme is the set of styles of all screens.
type Theme struct {
	Text   Style // ordinary words
	Strong Style // names, headings
	Dim    Style // what the eye may skip
	Rule   Style // lines between regions
	Accent Style // the one accent: keys, the active column, input
	Cursor Style // the row under the cursor
	Marked Style // the mark of a marked row
	Good   Style // running, live, done
	Warn   Style // in between, waiting
	Bad    Style // failed, lost
	Bar    Style // the filled part of a bar
	Trough Style // the rest of it
	Input  Style // the field being typed into

	profile colorprofile.Profile
	dark    bool
}

// New gives the theme for a terminal of this profile and background.
func New(profile colorprofile.Profile, dark bool) Theme {
	t := Theme{profile: profile, dark: dark, Strong: Style{Bold: true}}
	switch {
	case profile <= colorprofile.ASCII:
		t.Dim, t.Rule, t.Trough = Style{Faint: true}, Style{Faint: true}, Style{Faint: true}
		t.Accent, t.Marked = Style{Bold: true}, Style{Bold: true}
		t.Cursor, t.Input = Style{Invert: true}, Style{Underline: true}
		t.Bad = Style{Bold: true}
	case profile == colorprofile.ANSI:
		t.sixteen()
	default:
		t.rich()
	}
	return t
}

func (t *Theme) sixteen() {
	fg := func(c ansi.BasicColor) Style { return Style{FG: c} }
	t.Dim, t.Rule, t.Trough = fg(ansi.BrightBlack), fg(ansi.BrightBlack), fg(ansi.BrightBlack)
	t.Accent, t.Marked = fg(ansi.Cyan), fg(ansi.Cyan)
	t.Good, t.Warn, t.Bad, t.Bar = fg(ansi.Green), fg(ansi.Yellow), fg(ansi.Red), fg(ansi.Cyan)
	t.Cursor, t.Input = Style{Invert: true}, Style{Underline: true}
	if !t.dark {
		t.Accent, t.Marked, t.Bar = fg(ansi.Blue), fg(ansi.Blue), fg(ansi.Blue)
	}
}

func (t *Theme) rich() {
	pick := lipgloss.LightDark(t.dark)
	c := func(light, dark string) color.Color {
		return t.profile.Convert(pick(lipgloss.Color(light), lipgloss.Color(dark)))
	}
	t.Text = Style{FG: c("#2b303b", "#d3d7de")}
	t.Strong = Style{FG: c("#10131a", "#ffffff"), Bold: true}
	t.Dim = Style{FG: c("#6b7280", "#8b93a1")}
	t.Rule = Style{FG: c("#cfd4dc", "#3a414d")}
	t.Trough = t.Rule
	t.Accent = Style{FG: c("#00688b", "#6cb6d9")}
	t.Bar = t.Accent
	t.Marked = Style{FG: c("#00688b", "#6cb6d9"), Bold: true}
	t.Cursor = Style{BG: c("#dde8f2", "#263241")}
	t.Good = Style{FG: c("#3f7d20", "#8ec07c")}
	t.Warn = Style{FG: c("#9a6700", "#e0af68")}
	t.Bad = Style{FG: c("#b42318", "#f7768e")}
	t.Input = Style{FG: c("#10131a", "#ffffff"), BG: c("#e8ecf1", "#20262f")}
	if t.profile == colorprofile.ANSI256 {
		t.greys(pick)
	}
}

// greys takes the place of colours that the 256 do not have near enough: the nearest are
// tinted.
func (t *Theme) greys(pick lipgloss.LightDarkFunc) {
	c := func(light, dark string) color.Color { return pick(lipgloss.Color(light), lipgloss.Color(dark)) }
	t.Text.FG, t.Dim.FG = c("236", "252"), c("242", "246")
	t.Strong.FG, t.Input.FG = c("16", "231"), c("16", "231")
	t.Rule.FG, t.Trough.FG = c("251", "239"), c("251", "239")
	t.Cursor.BG, t.Input.BG = c("254", "237"), c("254", "236")
}

// basic maps the eight built-in label colours to the sixteen every colour terminal has.
var basic = map[uint32]ansi.BasicColor{
	0xcc0000: ansi.Red, 0xf57900: ansi.Yellow, 0xedd400: ansi.BrightYellow, 0x73d216: ansi.Green,
	0x555555: ansi.BrightBlack, 0x3465a4: ansi.Blue, 0x75507b: ansi.Magenta, 0x000000: ansi.Black,
}

// Chip is the small square in a label's colour 0xRRGGBB: filled, or an outline when the
// colour would vanish in the background.
func (t Theme) Chip(rgb uint32) (glyph string, s Style) {
	const filled, outline = "■", "□"
	l := luminance(rgb)
	switch {
	case t.profile <= colorprofile.ASCII:
		return filled, Style{}
	case t.dark && l < 0.03:
		return outline, t.Dim
	case !t.dark && l > 0.9:
		return outline, t.Dim
	case t.profile == colorprofile.ANSI:
		if b, ok := basic[rgb]; ok {
			return filled, Style{FG: b}
		}
	}
	return filled, Style{FG: t.profile.Convert(rgbColor(rgb))}
}

func rgbColor(rgb uint32) color.Color {
	return color.RGBA{R: uint8(rgb >> 16), G: uint8(rgb >> 8), B: uint8(rgb), A: 0xff}
}

// luminance is a rough relative luminance, 0 for black to 1 for white.
func luminance(rgb uint32) float64 {
	part := func(shift uint, weight float64) float64 {
		v := float64(rgb>>shift&0xff) / 255
		return weight * v * v
	}
	return part(16, 0.2126) + part(8, 0.7152) + part(0, 0.0722)
}
