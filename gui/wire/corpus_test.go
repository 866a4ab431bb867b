package wire

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
)

// corpus reads a file of the gui corpus, from $QUBIST_CORPUS when set.
func corpus(t *testing.T, name string, into any) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if dir := os.Getenv("QUBIST_CORPUS"); dir != "" {
		path = filepath.Join(dir, "gui", name)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, into); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
}

// layouts gives one message per struct with a value for every field of the corpus.
var layouts = map[string]struct {
	m      Message
	fields map[string]uint32
}{
	"msg_create":        {Create{1, 2, 3, 4, 5, true}, map[string]uint32{"x": 1, "y": 2, "width": 3, "height": 4, "parent": 5, "override_redirect": 1}},
	"msg_map_info":      {Map{7, true}, map[string]uint32{"transient_for": 7, "override_redirect": 1}},
	"msg_configure":     {Configure{1, 2, 3, 4, true}, map[string]uint32{"x": 1, "y": 2, "width": 3, "height": 4, "override_redirect": 1}},
	"msg_shmimage":      {ShmImage{1, 2, 3, 4}, map[string]uint32{"x": 1, "y": 2, "width": 3, "height": 4}},
	"msg_keypress":      {Keypress{1, 2, 3, 4, 5}, map[string]uint32{"type": 1, "x": 2, "y": 3, "state": 4, "keycode": 5}},
	"msg_button":        {Button{1, 2, 3, 4, 5}, map[string]uint32{"type": 1, "x": 2, "y": 3, "state": 4, "button": 5}},
	"msg_motion":        {Motion{1, 2, 3, 4}, map[string]uint32{"x": 1, "y": 2, "state": 3, "is_hint": 4}},
	"msg_crossing":      {Crossing{1, 2, 3, 4, 5, 6, 7}, map[string]uint32{"type": 1, "x": 2, "y": 3, "state": 4, "mode": 5, "detail": 6, "focus": 7}},
	"msg_focus":         {Focus{1, 2, 3}, map[string]uint32{"type": 1, "mode": 2, "detail": 3}},
	"msg_wmname":        {WMName("\x01"), map[string]uint32{"data": 1}},
	"msg_wmclass":       {WMClass{Class: "\x01", Name: "\x02"}, map[string]uint32{"res_class": 1, "res_name": 2}},
	"msg_keymap_notify": {KeymapNotify{1}, map[string]uint32{"keys": 1}},
	"msg_window_hints": {WindowHints{1, 2, 3, 4, 5, 6, 7, 8, 9}, map[string]uint32{"flags": 1, "min_width": 2, "min_height": 3,
		"max_width": 4, "max_height": 5, "width_inc": 6, "height_inc": 7, "base_width": 8, "base_height": 9}},
	"msg_window_flags":           {WindowFlags{1, 2}, map[string]uint32{"flags_set": 1, "flags_unset": 2}},
	"msg_window_dump_hdr":        {WindowDump{Kind: 0, Width: 2, Height: 3, BPP: 4}, map[string]uint32{"type": 0, "width": 2, "height": 3, "bpp": 4}},
	"msg_window_dump_grant_refs": {WindowDump{Refs: []uint32{9}}, nil},
	"msg_cursor":                 {Cursor(3), map[string]uint32{"cursor": 3}},
	"shm_cmd": {MFNDump{1, 2, 3, 4, 5, 6, []uint32{9}}, map[string]uint32{"shmid": 1, "width": 2, "height": 3, "bpp": 4, "off": 5,
		"num_mfn": 1, "domid": 6, "mfns": 9}},
}

// elsewhere are the structs of the corpus that are not bodies of this package's messages.
var elsewhere = map[string]string{
	"msg_hdr": "header", "msg_version": "handshake", "msg_xconf": "handshake",
	"msg_resize": "obsolete, never sent", "msg_execute": "obsolete, never sent",
	"shm_args_hdr": "file between the original daemon and its X server", "shm_args_mfns": "same", "shm_args_grant_refs": "same",
	"xdriver_cmd": "inside the original's agent",
}

func TestCorpusStructLayout(t *testing.T) {
	var c struct {
		Structs map[string]struct {
			Size   int
			Fields []struct {
				Field        string
				Offset, Size int
				Count        int
			}
		}
	}
	corpus(t, "struct-layout.json", &c)
	agreed, total := 0, 0
	for name, s := range c.Structs {
		if elsewhere[name] != "" {
			continue
		}
		total++
		l, ok := layouts[name]
		if !ok {
			t.Errorf("%s is not covered", name)
			continue
		}
		body, ok := l.m.AppendBody(nil), true
		variable := len(s.Fields) > 0 && s.Fields[len(s.Fields)-1].Count == -1
		if !variable && name != "msg_window_dump_grant_refs" && len(body) != s.Size {
			t.Errorf("%s has %d bytes, want %d", name, len(body), s.Size)
			ok = false
		}
		for _, f := range s.Fields {
			want, known := l.fields[f.Field]
			if !known && l.fields != nil {
				t.Errorf("%s.%s is not covered", name, f.Field)
				ok = false
			}
			if !known {
				continue
			}
			got := uint32(body[f.Offset])
			if len(body) >= f.Offset+4 {
				got = binary.LittleEndian.Uint32(body[f.Offset:])
			}
			if got != want {
				t.Errorf("%s.%s at %d is %d, want %d", name, f.Field, f.Offset, got, want)
				ok = false
			}
		}
		if ok {
			agreed++
		}
	}
	t.Logf("corpus gui/struct-layout: %d/%d", agreed, total)
}

func TestCorpusConstants(t *testing.T) {
	var c map[string]map[string]any
	corpus(t, "constants.json", &c)
	want := []struct {
		group, name string
		value       int
	}{
		{"message_types", "MSG_KEYPRESS", int(TypeKeypress)}, {"message_types", "MSG_BUTTON", int(TypeButton)},
		{"message_types", "MSG_MOTION", int(TypeMotion)}, {"message_types", "MSG_CROSSING", int(TypeCrossing)},
		{"message_types", "MSG_FOCUS", int(TypeFocus)}, {"message_types", "MSG_RESIZE", int(TypeResize)},
		{"message_types", "MSG_CREATE", int(TypeCreate)}, {"message_types", "MSG_DESTROY", int(TypeDestroy)},
		{"message_types", "MSG_MAP", int(TypeMap)}, {"message_types", "MSG_UNMAP", int(TypeUnmap)},
		{"message_types", "MSG_CONFIGURE", int(TypeConfigure)}, {"message_types", "MSG_MFNDUMP", int(TypeMFNDump)},
		{"message_types", "MSG_SHMIMAGE", int(TypeShmImage)}, {"message_types", "MSG_CLOSE", int(TypeClose)},
		{"message_types", "MSG_EXECUTE", int(TypeExecute)}, {"message_types", "MSG_CLIPBOARD_REQ", int(TypeClipboardReq)},
		{"message_types", "MSG_CLIPBOARD_DATA", int(TypeClipboardData)}, {"message_types", "MSG_WMNAME", int(TypeWMName)},
		{"message_types", "MSG_KEYMAP_NOTIFY", int(TypeKeymapNotify)}, {"message_types", "MSG_DOCK", int(TypeDock)},
		{"message_types", "MSG_WINDOW_HINTS", int(TypeWindowHints)}, {"message_types", "MSG_WINDOW_FLAGS", int(TypeWindowFlags)},
		{"message_types", "MSG_WMCLASS", int(TypeWMClass)}, {"message_types", "MSG_WINDOW_DUMP", int(TypeWindowDump)},
		{"message_types", "MSG_CURSOR", int(TypeCursor)}, {"message_types", "MSG_WINDOW_DUMP_ACK", int(TypeWindowDumpAck)},
		{"window_dump_types", "WINDOW_DUMP_TYPE_GRANT_REFS", DumpGrantRefs},
		{"protocol_defines", "QUBES_GUID_PROTOCOL_VERSION", int(Current)},
		{"protocol_defines", "QUBES_GUID_MIN_BIDIRECTIONAL_NEGOTIATION_VERSION", int(VersionNegotiation)},
		{"protocol_defines", "QUBES_GUID_MIN_BIDIRECTIONAL_MSG_DESTROY", int(VersionDestroyEcho)},
		{"protocol_defines", "QUBES_GUID_MIN_MSG_WINDOW_DUMP_ACK", int(VersionDumpAck)},
		{"protocol_defines", "MAX_CLIPBOARD_BUFFER_SIZE", MaxClipboard},
		{"protocol_defines", "MAX_WINDOW_WIDTH", MaxWidth}, {"protocol_defines", "MAX_WINDOW_HEIGHT", MaxHeight},
		{"protocol_defines", "MAX_WINDOW_MEM", MaxWidth * MaxHeight * BytesPerPixel},
		{"protocol_defines", "MAX_MFN_COUNT", MaxRefs}, {"protocol_defines", "MAX_GRANT_REFS_COUNT", MaxRefs},
		{"protocol_defines", "WINDOW_FLAG_FULLSCREEN", int(FlagFullscreen)},
		{"protocol_defines", "WINDOW_FLAG_DEMANDS_ATTENTION", int(FlagDemandsAttention)},
		{"protocol_defines", "WINDOW_FLAG_MINIMIZE", int(FlagMinimize)},
		{"protocol_defines", "CURSOR_X11", int(CursorGlyph(0))},
		{"daemon_limits", "BORDER_WIDTH", BorderWidth}, {"daemon_limits", "MAX_OVERRIDE_REDIRECT_PERCENTAGE", MaxOverridePercent},
		{"daemon_limits", "FULLSCREEN_WINDOW_ID", ScreenWindow}, {"daemon_limits", "DOUBLE_BUFFER_MAX", MaxQueue},
		{"x11_event_types", "KeyPress", KeyPress}, {"x11_event_types", "KeyRelease", KeyRelease},
		{"x11_event_types", "ButtonPress", ButtonPress}, {"x11_event_types", "ButtonRelease", ButtonRelease},
		{"x11_event_types", "EnterNotify", EnterNotify}, {"x11_event_types", "LeaveNotify", LeaveNotify},
		{"x11_event_types", "FocusIn", FocusIn}, {"x11_event_types", "FocusOut", FocusOut},
		{"x11_size_hint_flags", "USPosition", int(HintUSPosition)}, {"x11_size_hint_flags", "PPosition", int(HintPPosition)},
		{"x11_size_hint_flags", "PMinSize", int(HintMinSize)}, {"x11_size_hint_flags", "PMaxSize", int(HintMaxSize)},
		{"x11_size_hint_flags", "PResizeInc", int(HintResizeInc)}, {"x11_size_hint_flags", "PBaseSize", int(HintBaseSize)},
	}
	agreed := 0
	for _, w := range want {
		if got, ok := c[w.group][w.name].(float64); !ok || int(got) != w.value {
			t.Errorf("%s.%s is %v, ours %d", w.group, w.name, c[w.group][w.name], w.value)
			continue
		}
		agreed++
	}
	t.Logf("corpus gui/constants: %d/%d", agreed, len(want))
}

func TestCorpusMessageVectors(t *testing.T) {
	var c []struct {
		Message string
		Number  Type
		Window  uint32
		Hex     string
	}
	corpus(t, "message-vectors.json", &c)
	agreed := 0
	for _, v := range c {
		b, err := hex.DecodeString(v.Hex)
		if err != nil {
			t.Fatal(err)
		}
		if v.Number == 0 {
			if handshakeAgain(t, b) {
				agreed++
			}
			continue
		}
		h, err := ParseHeader(b)
		if err != nil || h.Type != v.Number || h.Window != v.Window {
			t.Errorf("%s: header %+v, %v", v.Message, h, err)
			continue
		}
		body := b[HeaderSize:]
		if v.Number == TypeWindowDump {
			body = append(bytes.Clone(body), 1, 0, 0, 0) // the vector names a page but stops before it
		}
		m, err := parse(h.Type, body)
		if err != nil {
			t.Errorf("%s: %v", v.Message, err)
			continue
		}
		if got := m.AppendBody(nil); !bytes.Equal(got, body) {
			t.Errorf("%s encodes to %x, want %x", v.Message, got, body)
			continue
		}
		agreed++
	}
	t.Logf("corpus gui/message-vectors: %d/%d", agreed, len(c))
}

func handshakeAgain(t *testing.T, b []byte) bool {
	if len(b) == VersionSize {
		v, err := ParseVersion(b)
		return err == nil && v == Current && bytes.Equal(v.Append(nil), b)
	}
	c, err := ParseXConf(b)
	if err != nil || c != NewXConf(uint16(c.Width), uint16(c.Height), uint8(c.Depth)) || !bytes.Equal(c.Append(nil), b) {
		t.Errorf("xconf %+v, %v", c, err)
		return false
	}
	return true
}
