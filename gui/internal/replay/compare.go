package replay

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"image"
	"io/fs"
	"math/bits"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"

	"qubist/gui/wire"
)

// difference is one thing that is not as recorded.
type difference struct {
	Key        string // of the step, or "pixels", or "windows.<field or property>"
	Want, Have string
}

func (d difference) String() string {
	return fmt.Sprintf("%s: want %s, have %s", d.Key, cut(d.Want), cut(d.Have))
}

func cut(s string) string {
	if len(s) > 400 {
		return s[:400] + "…"
	}
	return s
}

// compare looks at everything a step recorded. final takes what was compared, so that the
// next step begins anew.
func (s *stage) compare(st *Step, final bool) (ds []difference) {
	add := func(key, want, have string) {
		if want != have {
			ds = append(ds, difference{key, want, have})
		}
	}
	status, ended := s.status()
	have := "running"
	if ended {
		have = fmt.Sprintf("exit %d", status)
	}
	want := "running"
	if n, ended := st.exit(); ended {
		want = fmt.Sprintf("exit %d", n)
		if slices.ContainsFunc(st.Programs, func(p Program) bool { return p.Program == "qubes-guid" }) {
			want += " (anew)"
		}
	}
	add("daemon", want, have)
	add("channel", st.Channel, map[bool]string{true: "closed by daemon"}[s.agent.hungUp()])

	wants, haves := s.messages(st, final)
	if s.conv.Setup.WindowManager != "none" {
		wants, haves = s.unplaced(st, wants), s.unplaced(st, haves)
	}
	add("received", wants, haves)

	ps, ns := s.ran(final)
	add("programs", programText(st.Programs), programText(ps))
	add("notifications", fmt.Sprint(st.Notifications), fmt.Sprint(ns))
	add("policy_requests", fmt.Sprint(st.Policy), fmt.Sprint(s.policy.asked(final)))
	if st.Files != nil {
		ds = append(ds, s.compareFiles(st.Files)...)
	}
	if st.Tray != nil {
		add("tray_saw", fmt.Sprint(st.Tray), fmt.Sprint(s.actors.saw))
	}
	see := s.look.see(s.actors.named, s.actors.tray)
	add("stacking", strings.Join(st.Stacking, " "), strings.Join(see.order, " "))
	add("input_focus", st.Focus, see.focus)
	return append(ds, s.compareWindows(st, see)...)
}

// messages compares what was received; the window named in MSG_MAP is not checked where the
// original sent what happened to be in its memory.
func (s *stage) messages(st *Step, final bool) (want, have string) {
	in := s.agent.received()
	if final {
		s.agent.take(len(in))
	}
	var wants, haves []string
	for _, m := range st.Received {
		if m.SHA256 != "" {
			wants = append(wants, fmt.Sprintf("%s of %d bytes, %s", m.Name, m.Length, m.SHA256))
			continue
		}
		wants = append(wants, m.Hex)
	}
	for i := 0; len(in) > 0; i++ {
		n := len(in)
		switch {
		case i < len(st.Received) && st.Received[i].Name == "version":
			n = wire.VersionSize
		case i < len(st.Received) && st.Received[i].Name == "xconf":
			n = wire.XConfSize
		case len(in) >= wire.HeaderSize:
			n = wire.HeaderSize + int(binary.LittleEndian.Uint32(in[8:]))
		}
		n = min(n, len(in))
		text := hex.EncodeToString(in[:n])
		if i < len(st.Received) {
			m := st.Received[i]
			if m.SHA256 != "" {
				sum := sha256.Sum256(in[:n])
				text = fmt.Sprintf("%s of %d bytes, %s", m.Name, n-wire.HeaderSize, hex.EncodeToString(sum[:]))
			}
			text = masked(m.Hex, text)
		}
		haves = append(haves, text)
		in = in[n:]
	}
	return strings.Join(wants, " "), strings.Join(haves, " ")
}

// unplaced replaces the positions of a window manager's first notices about windows that
// were mapped just now: which of its steps the daemon sees first is a matter of time.
func (s *stage) unplaced(st *Step, messages string) string {
	mapped := map[string]bool{}
	for _, m := range st.Sent {
		if m.Name == "MSG_MAP" {
			mapped[fmt.Sprintf("%08x", bits.ReverseBytes32(m.Window))] = true
		}
	}
	list := strings.Split(messages, " ")
	for i, m := range list {
		const configure = "86000000"
		const at, end = 24, 40
		if len(m) == 64 && strings.HasPrefix(m, configure) && mapped[m[8:16]] {
			list[i] = m[:at] + "placed by the manager" + m[end:]
			delete(mapped, m[8:16])
		}
	}
	return strings.Join(list, " ")
}

// masked puts question marks where the recording has some.
func masked(pattern, text string) string {
	if len(pattern) != len(text) || !strings.Contains(pattern, "?") {
		return text
	}
	b := []byte(text)
	for i := range b {
		if pattern[i] == '?' {
			b[i] = '?'
		}
	}
	return string(b)
}

func programText(ps []Program) string {
	var b strings.Builder
	for _, p := range ps {
		fmt.Fprintf(&b, "%s", p.Program)
		text := false
		for _, a := range p.Args {
			switch {
			case text && p.Program != "qvm-kill":
				a = "<text>"
			case p.Program == "qubesdb-write" && a != "-d" && !strings.HasPrefix(a, "/") && a != p.Args[1]:
				a = "<keymap>"
			}
			text = a == "--text" || a == "--warningyesno" || a == "--sorry"
			fmt.Fprintf(&b, " %q", a)
		}
		if p.Stdin != nil {
			fmt.Fprintf(&b, " < %s", *p.Stdin)
		}
		b.WriteString("\n")
	}
	return b.String()
}

// compareWindows compares the windows one by one.
func (s *stage) compareWindows(st *Step, see *seen) (ds []difference) {
	haves := map[uint32]Window{}
	for _, w := range see.windows {
		haves[w.Remote] = w
	}
	for _, want := range st.Windows {
		have, ok := haves[want.Remote]
		if !ok {
			ds = append(ds, difference{"windows", fmt.Sprintf("window %d", want.Remote), "none"})
			continue
		}
		delete(haves, want.Remote)
		for _, d := range s.compareWindow(&want, &have, see) {
			d.Key = "windows." + d.Key
			d.Want = fmt.Sprintf("(%d) %s", want.Remote, d.Want)
			ds = append(ds, d)
		}
		if want.Pixels != nil {
			if d, ok := s.comparePixels(&want, see); !ok {
				d.Want = fmt.Sprintf("(%d) %s", want.Remote, d.Want)
				ds = append(ds, d)
			}
		}
	}
	for id := range haves {
		ds = append(ds, difference{"windows", "none", fmt.Sprintf("window %d", id)})
	}
	return ds
}

func (s *stage) compareWindow(want, have *Window, see *seen) (ds []difference) {
	a, b := reflect.ValueOf(*want), reflect.ValueOf(*have)
	for i := range a.NumField() {
		name := a.Type().Field(i).Name
		if name == "Properties" || name == "Pixels" {
			continue
		}
		x, y := a.Field(i).Interface(), b.Field(i).Interface()
		if !reflect.DeepEqual(x, y) {
			ds = append(ds, difference{name, show(x), show(y)})
		}
	}
	for name, p := range want.Properties {
		h, ok := have.Properties[name]
		if !ok {
			ds = append(ds, difference{name, show(p), "none"})
			continue
		}
		if !s.equalProperty(name, p, h, see) {
			ds = append(ds, difference{name, show(p), show(h)})
		}
	}
	for name, h := range have.Properties {
		if _, ok := want.Properties[name]; !ok && !strings.HasPrefix(name, "_OB_") {
			ds = append(ds, difference{name, "none", show(h)})
		}
	}
	return ds
}

func show(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		return err.Error()
	}
	return string(b)
}

func (s *stage) equalProperty(name string, want, have Property, see *seen) bool {
	if want.Type != have.Type || want.Format != have.Format {
		return false
	}
	hostname, _ := os.Hostname()
	vs, _ := have.Value.([]any)
	if want.SHA256 != "" {
		var items []uint32
		for _, v := range vs {
			n, _ := v.(float64)
			items = append(items, uint32(n))
		}
		sum := sha256.Sum256(le32(items))
		return want.SHA256 == hex.EncodeToString(sum[:])
	}
	switch want.Value {
	case "<hostname>":
		return have.Hex == hex.EncodeToString([]byte(hostname))
	case "<pid>":
		return len(vs) == 1 && vs[0] == float64(s.daemon.Process.Pid)
	case "<time>":
		return len(vs) == 1
	case "<helper window>":
		return len(vs) == 1 && vs[0] != 0.0
	}
	if want.Type == "WINDOW" && name != "_QUBES_VMWINDOWID" || name == "WM_STATE" {
		vs = slices.Clone(vs)
		for i, v := range vs {
			n, _ := v.(float64)
			if want.Type != "WINDOW" && i == 0 {
				continue
			}
			if n == 0 {
				vs[i] = "none"
			} else if id, ok := see.byID[xWindow(n)]; ok {
				vs[i] = fmt.Sprintf("remote:%d", id)
			} else if want.Type == "WINDOW" {
				vs[i] = "other"
			}
		}
		return reflect.DeepEqual(want.Value, any(vs))
	}
	if want.Format != 32 {
		return want.Hex == have.Hex
	}
	return reflect.DeepEqual(want.Value, have.Value)
}

// comparePixels compares what shows of a window on the screen.
func (s *stage) comparePixels(want *Window, see *seen) (difference, bool) {
	n := see.byNum[want.Remote]
	screen := image.Rect(0, 0, int(s.c.Screen.WidthInPixels), int(s.c.Screen.HeightInPixels))
	visible := n.rect.Intersect(screen)
	b, err := s.look.screenshot(visible)
	if err != nil {
		return difference{"pixels", "a picture", err.Error()}, false
	}
	at := func(x, y int) (uint32, bool) {
		p := image.Pt(x, y).Add(n.rect.Min)
		if !p.In(visible) {
			return 0, false
		}
		q := p.Sub(visible.Min)
		return binary.LittleEndian.Uint32(b[4*(q.Y*visible.Dx()+q.X):]) & 0xffffff, true
	}
	if want.Pixels.SHA256 != "" {
		have := hashPixels(n, see, at)
		return difference{"pixels", want.Pixels.SHA256, have}, want.Pixels.SHA256 == have
	}
	y := 0
	for _, row := range want.Pixels.Rows {
		count, _ := row[0].(float64)
		runs, _ := row[1].([]any)
		for range int(count) {
			x := 0
			for _, r := range runs {
				run, _ := r.([]any)
				length, _ := run[0].(float64)
				colour, _ := run[1].(string)
				for range int(length) {
					have, shown := at(x, y)
					if colour != "covered" && (!shown || fmt.Sprintf("%06x", have) != colour) {
						return difference{"pixels", fmt.Sprintf("%d,%d %s", x, y, colour), fmt.Sprintf("%06x", have)}, false
					}
					x++
				}
			}
			y++
		}
	}
	return difference{}, true
}

// hashPixels is the recordings' checksum of a large window's pixels; those hidden by a
// window above or outside the screen count as a mark.
func hashPixels(n *node, see *seen, at func(x, y int) (uint32, bool)) string {
	const hidden = 0xdeadbeef
	top := n.top()
	var above []image.Rectangle
	higher := false
	for _, k := range see.root.children {
		if higher && k.attr.MapState == 2 && k.attr.Class == 1 {
			bw := int(k.geo.BorderWidth)
			above = append(above, k.rect.Inset(-bw))
		}
		higher = higher || k == top
	}
	sum := sha256.New()
	row := make([]byte, 0, 4*n.rect.Dx())
	for y := range n.rect.Dy() {
		row = row[:0]
		for x := range n.rect.Dx() {
			v, shown := at(x, y)
			p := image.Pt(x, y).Add(n.rect.Min)
			if !shown || slices.ContainsFunc(above, func(r image.Rectangle) bool { return p.In(r) }) {
				v = hidden
			}
			row = binary.LittleEndian.AppendUint32(row, v)
		}
		sum.Write(row)
	}
	return hex.EncodeToString(sum.Sum(nil))
}

// compareFiles compares the regular files of the run directory.
func (s *stage) compareFiles(want map[string]File) (ds []difference) {
	add := func(name, want, have string) {
		if want != have {
			ds = append(ds, difference{"files." + name, want, have})
		}
	}
	entries, _ := os.ReadDir(s.run)
	for _, e := range entries {
		if _, ok := want[e.Name()]; !ok && e.Type().IsRegular() {
			add(e.Name(), "none", "a file")
		}
	}
	for name, w := range want {
		path := filepath.Join(s.run, name)
		st, err := os.Stat(path)
		if err != nil {
			add(name, "a file", "none")
			continue
		}
		b, _ := os.ReadFile(path)
		add(name+" mode", w.Mode, fmt.Sprintf("0o%o", st.Mode()&fs.ModePerm))
		switch {
		case w.Content != nil && strings.Contains(*w.Content, "<pid>"):
			add(name, fmt.Sprintf("%d\n", s.daemon.Process.Pid), string(b))
		case w.Content != nil:
			add(name, *w.Content, hex.EncodeToString(b))
		case w.Hex != nil:
			add(name, *w.Hex, hex.EncodeToString(b))
		case w.JSON != nil:
			ds = append(ds, compareMetadata(name, w, b)...)
		case w.Size != nil:
			add(name+" size", fmt.Sprint(*w.Size), fmt.Sprint(len(b)))
		}
	}
	return ds
}

func compareMetadata(name string, want File, b []byte) (ds []difference) {
	var have map[string]any
	if err := json.Unmarshal(b, &have); err != nil {
		return []difference{{"files." + name, "JSON", fmt.Sprintf("%q: %v", b, err)}}
	}
	for k, v := range want.JSON {
		h := have[k]
		if n, ok := h.(float64); ok && n != 0 && v == "<time>" {
			h = "<time>"
		}
		if !reflect.DeepEqual(v, h) {
			ds = append(ds, difference{"files." + name + "." + k, fmt.Sprint(v), fmt.Sprint(h)})
		}
	}
	if len(have) != len(want.JSON) {
		ds = append(ds, difference{"files." + name, fmt.Sprint(len(want.JSON), " keys"), fmt.Sprint(len(have))})
	}
	var keys []string
	dec := json.NewDecoder(strings.NewReader(string(b)))
	for depth := 0; ; {
		t, err := dec.Token()
		if err != nil {
			break
		}
		switch t {
		case json.Delim('{'):
			depth++
			continue
		case json.Delim('}'):
			continue
		}
		keys = append(keys, fmt.Sprint(t))
		_, _ = dec.Token()
	}
	if want.Keys != nil && !slices.Equal(keys, want.Keys) {
		ds = append(ds, difference{"files." + name + " order", fmt.Sprint(want.Keys), fmt.Sprint(keys)})
	}
	return ds
}
