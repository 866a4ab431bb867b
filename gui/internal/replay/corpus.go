// Package replay plays recorded conversations with the original window daemon to ours: the
// agent's bytes, the user's input and other X clients as recorded, on an X server of its
// own, and compares what comes out: messages, windows with properties and pixels, stacking,
// focus, helper programs, files, survival. For tests only.
package replay

import (
	"bufio"
	"compress/gzip"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"strings"
)

// Conversation is one recorded run of the original daemon.
type Conversation struct {
	ID, Group, Note   string
	Setup             Setup
	Steps             []Step
	RepeatDifferences [][2]any `json:"repeat_differences"`
}

// Name is unique among all conversations.
func (c *Conversation) Name() string { return c.Group + "/" + c.ID }

// Setup is what the original was started with.
type Setup struct {
	CommandLine     []string `json:"command_line"`
	Config          string
	VM              string
	Screen          string
	WindowManager   string            `json:"window_manager"`
	InDom0          bool              `json:"in_dom0"`
	AgentListens    *bool             `json:"agent_listens"`
	RootProperties  [][3]any          `json:"root_properties"`
	ZenityExit      *int              `json:"zenity_exit"`
	KdialogExit     *int              `json:"kdialog_exit"`
	ProgramExit     any               `json:"program_exit"`
	ProgramOutput   any               `json:"program_output"`
	MissingPrograms []string          `json:"missing_programs"`
	PolicyAnswer    *string           `json:"policy_answer"`
	Files           map[string]string `json:"clipboard_files_hex"`
	Env             map[string]*string
	Forks           bool
}

// Step is one thing that was done, and all that was seen after it.
type Step struct {
	Do       json.RawMessage
	SentHex  string   `json:"sent_hex"`
	SentHead string   `json:"sent_head_hex"`
	SentLen  int      `json:"sent_length"`
	Sent     []Sent   `json:"sent"`
	Grants   []Grants `json:"grants"`
	NowHolds *Grants  `json:"grants_now"`

	Received      []Message
	Daemon        json.RawMessage
	Channel       string
	Windows       []Window
	Stacking      []string `json:"stacking_bottom_to_top"`
	Focus         string   `json:"input_focus"`
	Programs      []Program
	Notifications []Notification
	Policy        []string        `json:"policy_requests_hex"`
	Files         map[string]File `json:"files"`
	Cursor        any             `json:"cursor_shown"`
	Tray          []TraySaw       `json:"tray_saw"`
	KillTarget    string          `json:"kill_on_connect_target"`
	Background    string          `json:"background_process"`
}

// Sent is a message of the agent, decoded.
type Sent struct {
	Name   string
	Window uint32
	Dump   *struct{ Refs [2]uint32 }
}

// Grants is memory the agent granted, with what it holds.
type Grants struct {
	First   uint32 `json:"first_ref"`
	Pages   int
	Pattern string
	Tag     uint32
	Row     int `json:"row_pixels"`
}

// Message is one message of the daemon.
type Message struct {
	Name   string
	Hex    string
	Length int
	SHA256 string `json:"sha256"`
}

// Window is a window as X clients see it.
type Window struct {
	Remote      uint32 `json:"remote_id"`
	MapState    string `json:"map_state"`
	RootX       int    `json:"root_x"`
	RootY       int    `json:"root_y"`
	X, Y        int
	Width       int
	Height      int
	Border      int    `json:"border_width"`
	Depth       int    `json:"depth"`
	Override    bool   `json:"override_redirect"`
	InputOutput bool   `json:"input_output"`
	Parent      string `json:"parent"`
	Outer       *Outer `json:"outer"`
	EventMask   uint32 `json:"event_mask"`
	Properties  map[string]Property
	Pixels      *Pixels
}

// Outer is the outermost ancestor of a reparented window.
type Outer struct {
	X, Y, Width, Height int
	MapState            string `json:"map_state"`
}

// Property is a window property; atoms are names, windows are "remote:<id>".
type Property struct {
	Type   string
	Format int
	Hex    string
	Value  any
	Items  int    // long ones of format 32 are summed
	SHA256 string `json:"sha256"`
}

// Pixels is what shows of a window.
type Pixels struct {
	Rows   [][2]any
	SHA256 string `json:"sha256"`
}

// Program is a helper program that was run.
type Program struct {
	Program string
	Args    []string
	Stdin   *string `json:"stdin_hex"`
}

// Notification is what the user was told.
type Notification struct {
	Summary string
	Timeout int
}

// File is a file of the run directory.
type File struct {
	Mode    string
	Size    *int
	Hex     *string
	Content *string
	JSON    map[string]any `json:"json"`
	Keys    []string
}

// TraySaw is a message the tray got.
type TraySaw struct {
	Opcode []any `json:"opcode_message"`
}

// Load reads all conversations of a file.
func Load(path string) ([]*Conversation, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	lines := bufio.NewScanner(z)
	lines.Buffer(nil, 64<<20)
	var cs []*Conversation
	for lines.Scan() {
		c := &Conversation{}
		if err := json.Unmarshal(lines.Bytes(), c); err != nil {
			return nil, fmt.Errorf("%s, line %d: %w", path, len(cs)+1, err)
		}
		cs = append(cs, c)
	}
	return cs, lines.Err()
}

// Text says what the step does, for people.
func (s *Step) Text() string {
	var text string
	if json.Unmarshal(s.Do, &text) == nil {
		return text
	}
	return s.action()
}

// action is the step's act of another X client; "" when it is something else.
func (s *Step) action() string {
	var x struct{ X string }
	if json.Unmarshal(s.Do, &x) == nil {
		return x.X
	}
	return ""
}

// Input is one synthetic event.
type Input struct {
	KeyPress   *string `json:"key_press"`
	KeyRelease *string `json:"key_release"`
	Keycode    uint8   `json:"keycode"`
	Press      *uint8  `json:"button_press"`
	Release    *uint8  `json:"button_release"`
	Pointer    *[2]int `json:"pointer_to"`
}

func (s *Step) inputs() []Input {
	var d struct{ Input []Input }
	if strings.HasPrefix(string(s.Do), "{") {
		_ = json.Unmarshal(s.Do, &d)
	}
	return d.Input
}

// bytes is what the agent sends in this step.
func (s *Step) bytes() ([]byte, error) {
	if s.SentHead == "" {
		return hex.DecodeString(s.SentHex)
	}
	b, err := hex.DecodeString(s.SentHead)
	if err != nil {
		return nil, err
	}
	const head = 28
	b = b[:head]
	refs := s.Sent[0].Dump.Refs
	for i := range refs[1] {
		r := refs[0] + i
		b = append(b, byte(r), byte(r>>8), byte(r>>16), byte(r>>24))
	}
	if len(b) != s.SentLen {
		return nil, fmt.Errorf("%d bytes to send, want %d", len(b), s.SentLen)
	}
	return b, nil
}

// exit is the daemon's exit status after the step, if it has ended.
func (s *Step) exit() (status int, ended bool) {
	var d struct{ Exit *int }
	if json.Unmarshal(s.Daemon, &d) != nil || d.Exit == nil {
		return 0, false
	}
	return *d.Exit, true
}

// loose reports whether the recordings themselves disagreed about a key of step i.
func (c *Conversation) loose(i int, key string) bool {
	for _, d := range c.RepeatDifferences {
		if n, ok := d[0].(float64); !ok || int(n) != i {
			continue
		}
		keys, _ := d[1].([]any)
		for _, k := range keys {
			if k == key {
				return true
			}
		}
	}
	return false
}
