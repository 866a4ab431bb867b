package admin_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"sort"
	"strings"
	"testing"
	"time"

	"qubist/core/adminapi"
	"qubist/core/adminapi/device"
	"qubist/core/internal/admin"
	"qubist/core/internal/blockdev"
	"qubist/core/internal/domain"
	"qubist/core/internal/life"
	"qubist/core/internal/lifetest"
	"qubist/core/internal/store"
	"qubist/core/qube"
)

// record is one line of a recorded conversation; see the corpus's README.
type record struct {
	N                      int
	Src, Method, Dest, Arg string
	Payload, Sock          string
	Kind, Resp, Exc, Msg   string
	Events                 []recordedEvent
	RespAny                bool `json:"resp_any"`
	Fixture                json.RawMessage
	VM, Path, Content      string
	Set                    map[string]string
	Bind                   string
	Text                   string
}

type recordedEvent struct {
	subject, name string
	args          map[string]string
}

func (e *recordedEvent) UnmarshalJSON(b []byte) error {
	return json.Unmarshal(b, &[]any{&e.subject, &e.name, &e.args})
}

func (e recordedEvent) String() string {
	keys := make([]string, 0, len(e.args))
	for k := range e.args {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	s := e.subject + " " + e.name
	for _, k := range keys {
		s += " " + k + "=" + e.args[k]
	}
	return s
}

// corpus is the folder of the recordings.
func corpus(t *testing.T) string {
	if dir := os.Getenv("QUBIST_CORPUS"); dir != "" {
		return filepath.Join(dir, "admin")
	}
	return filepath.Join("testdata", "admin")
}

func records(t *testing.T, name string) []record {
	t.Helper()
	f, err := os.Open(filepath.Join(corpus(t), name+".jsonl.gz"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	var out []record
	for d := json.NewDecoder(z); d.More(); {
		var r record
		if err := d.Decode(&r); err != nil {
			t.Fatalf("line %d: %v", len(out)+1, err)
		}
		out = append(out, r)
	}
	return out
}

// world is a system served on sockets, made of a recording's first description.
type world struct {
	t        *testing.T
	sys      *lifetest.System
	sockets  map[string]string
	pending  chan adminapi.Event
	uuid     string // for the next qube
	dispid   int
	allowed  func(qube.Name, qube.Name) bool
	recorded []record
	tokens   map[string]string // recorded one → ours
	qdb      map[string]map[string]string
}

func newWorld(t *testing.T, name string) *world {
	t.Helper()
	w := &world{t: t, sockets: map[string]string{}, tokens: map[string]string{}, qdb: map[string]map[string]string{}, pending: make(chan adminapi.Event, 10000)}
	f, err := store.Load(store.OS{}, filepath.Join(corpus(t), name+".init.xml"))
	if err != nil {
		t.Fatal(err)
	}
	root := t.TempDir()
	if err := os.MkdirAll(root+"/lib", 0o770); err != nil {
		t.Fatal(err)
	}
	if err := store.Save(store.OS{}, root+"/lib/qubes.xml", f); err != nil {
		t.Fatal(err)
	}
	w.sys = lifetest.New(t, lifetest.Options{Root: root, Host: func(h *domain.Host) {
		random := h.NewUUID
		h.NewUUID = func() string {
			if u := w.uuid; u != "" {
				w.uuid = ""
				return u
			}
			return random()
		}
		h.NewDispID = func() int { return w.dispid }
	}, Devices: map[string]life.DeviceClass{"block": blocks{w}}})
	w.serve(&admin.API{Sys: w.sys.System, Drivers: recordedDrivers, Log: slog.New(slog.DiscardHandler), Allowed: func(_ context.Context, src qube.Name, _, _ string, dest qube.Name) bool {
		return w.allowed != nil && w.allowed(src, dest)
	}, QubesDB: func(_ context.Context, n qube.Name, prefix string) (map[string]string, error) {
		out := map[string]string{}
		for k, v := range w.qdb[string(n)] {
			if strings.HasPrefix(k, prefix) {
				out[k] = v
			}
		}
		return out, nil
	}})
	w.sys.Driver.Terminal = "/dev/pts/13"
	return w
}

// serve listens on both sockets until the test ends, and subscribes to all events.
func (w *world) serve(api *admin.API) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 3)
	dir, err := os.MkdirTemp("", "qb")
	if err != nil {
		w.t.Fatal(err)
	}
	for name, set := range map[string]admin.Set{"qubesd.sock": admin.AdminSet(), "qubesd.internal.sock": admin.InternalSet(), "qubesd.misc.sock": admin.MiscSet()} {
		w.sockets[name] = filepath.Join(dir, name)
		l, err := net.Listen("unix", w.sockets[name])
		if err != nil {
			w.t.Fatal(err)
		}
		go func() { done <- api.Serve(ctx, l, set) }()
	}
	conn, err := net.Dial("unix", w.sockets["qubesd.sock"])
	if err != nil {
		w.t.Fatal(err)
	}
	if _, err := conn.Write([]byte("admin.Events dom0 name dom0\x00")); err != nil {
		w.t.Fatal(err)
	}
	_ = conn.(*net.UnixConn).CloseWrite()
	er := adminapi.NewEventReader(conn)
	if e, err := er.Next(); err != nil || e.Name != adminapi.Connected {
		w.t.Fatalf("subscribing: %+v %v", e, err)
	}
	closed := make(chan struct{})
	go func() {
		defer close(closed)
		for {
			e, err := er.Next()
			if err != nil {
				return
			}
			w.pending <- e
		}
	}()
	w.t.Cleanup(func() {
		conn.Close()
		<-closed
		cancel()
		for range 3 {
			if err := <-done; err != nil {
				w.t.Error(err)
			}
		}
		os.RemoveAll(dir)
	})
}

// exchange sends bytes and reads the whole answer.
func (w *world) exchange(sock string, b []byte) []byte {
	w.t.Helper()
	conn, err := net.Dial("unix", w.sockets[sock])
	if err != nil {
		w.t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
	_, _ = conn.Write(b) // the server may close early
	_ = conn.(*net.UnixConn).CloseWrite()
	var out bytes.Buffer
	_, _ = out.ReadFrom(conn)
	return out.Bytes()
}

// drain takes the events that arrived; when none did and some are wanted it waits a moment,
// because a listener reads them in a goroutine of its own.
func (w *world) drain(want int) []recordedEvent {
	var out []recordedEvent
	limit := time.After(150 * time.Millisecond)
	for {
		select {
		case e := <-w.pending:
			r := recordedEvent{e.Subject, e.Name, map[string]string{}}
			for _, a := range e.Args {
				r.args[a.Key] = a.Value
			}
			out = append(out, r)
			continue
		case <-time.After(time.Millisecond):
		}
		if len(out) >= want {
			return out
		}
		select {
		case <-limit:
			return out
		case <-time.After(time.Millisecond):
		}
	}
}

// prepare arranges that generated values are the recorded ones.
func (w *world) prepare(i int) {
	r := w.recorded[i]
	if !strings.HasPrefix(r.Method, "admin.vm.Create") {
		return
	}
	name := ""
	for _, e := range r.Events {
		if e.name == "domain-add" {
			name = e.args["vm"]
		}
	}
	if name == "" {
		return
	}
	uuid := regexp.MustCompile(`uuid[ =](?:default=False type=str )?([0-9a-f-]{36})`)
	dispid := regexp.MustCompile(`dispid default=False type=int (\d+)`)
	if n, ok := strings.CutPrefix(name, "disp"); ok {
		_, _ = fmt.Sscan(n, &w.dispid)
	}
	w.uuid = ""
	if r.Bind != "" && strings.HasPrefix(r.Text, "uuid:") {
		w.uuid = strings.TrimPrefix(r.Text, "uuid:")
	}
	for _, l := range w.recorded[i+1:] {
		if l.Method == "admin.vm.Remove" && l.Dest == name && l.Kind == "ok" {
			return
		}
		b, _ := hex.DecodeString(l.Resp)
		switch {
		case l.Method == "admin.vm.property.GetAll" && l.Dest == name && l.Kind == "ok":
			if m := uuid.FindSubmatch(b); m != nil && w.uuid == "" {
				w.uuid = string(m[1])
			}
			if m := dispid.FindSubmatch(b); m != nil {
				_, _ = fmt.Sscan(string(m[1]), &w.dispid)
				return
			}
		case l.Method == "admin.vm.List" && l.Kind == "ok" && w.uuid == "":
			for _, line := range strings.Split(string(b), "\n") {
				if m := uuid.FindStringSubmatch(line); m != nil && strings.HasPrefix(line, name+" ") {
					w.uuid = m[1]
				}
			}
		}
	}
}

// blocks are the devices in the fixtures.
type blocks struct{ w *world }

func (b blocks) List(_ context.Context, n qube.Name) ([]device.Info, error) {
	return blockdev.Parse(string(n), b.w.qdb[string(n)]), nil
}

func (blocks) Attach(context.Context, qube.Name, device.Info, []device.KV) error {
	return errors.New("not in the recordings")
}

func (blocks) Detach(context.Context, qube.Name, device.ID) error {
	return errors.New("not in the recordings")
}

// arrange puts a fixture in place.
func (w *world) arrange(r record) {
	switch string(r.Fixture) {
	case `"qubesdb"`:
		if w.qdb[r.VM] == nil {
			w.qdb[r.VM] = map[string]string{}
		}
		maps.Copy(w.qdb[r.VM], r.Set)
	case `"file"`:
		path := filepath.Join(w.sys.Root, strings.Replace(r.Path, "/etc/qubes", "etc", 1))
		err := os.MkdirAll(filepath.Dir(path), 0o700)
		if err == nil {
			err = os.WriteFile(path, []byte(r.Content), 0o600)
		}
		if err != nil {
			w.t.Fatal(err)
		}
	}
}

// play replays one record and says how we differ, "" when we agree.
func (w *world) play(i int) string {
	r := w.recorded[i]
	w.prepare(i)
	payload, _ := hex.DecodeString(r.Payload)
	if ours := w.tokens[string(payload)]; ours != "" {
		payload = []byte(ours)
	}
	sock := "qubesd.sock"
	if r.Sock != "" {
		sock = r.Sock
	}
	if w.sockets[sock] == "" {
		return "no socket " + sock
	}
	var b []byte
	b = fmt.Appendf(b, "%s+%s %s name %s\x00", r.Method, r.Arg, r.Src, r.Dest)
	answer := w.exchange(sock, append(b, payload...))
	want := withoutStarts(r.Events)
	got := withoutStarts(w.drain(len(want)))
	data, err := adminapi.ParseResponse(answer)
	switch r.Kind {
	case "abort":
		if err == nil {
			return "succeeded, which the original did not"
		}
		return ""
	case "exc":
		if adminapi.KindOf(err) != r.Exc {
			return fmt.Sprintf("got %T %q (%v), want %s %q", err, adminapi.KindOf(err), err, r.Exc, r.Msg)
		}
	default:
		if err != nil {
			return fmt.Sprintf("failed: %s %v", adminapi.KindOf(err), err)
		}
		wanted, _ := hex.DecodeString(r.Resp)
		if r.Bind == "token" && len(data) == len(wanted) {
			w.tokens[string(wanted)] = string(data)
			return ""
		}
		if d := diff(r, normal(r, string(data)), normal(r, string(wanted))); d != "" {
			return d
		}
	}
	return diff(r, stamps.ReplaceAllString(lines(got), "TIME"), stamps.ReplaceAllString(lines(want), "TIME"))
}

func lines(es []recordedEvent) string {
	var b strings.Builder
	for _, e := range es {
		fmt.Fprintln(&b, e)
	}
	return b.String()
}

func diff(_ record, got, want string) string {
	if got == want {
		return ""
	}
	g, w := strings.Split(got, "\n"), strings.Split(want, "\n")
	for i := range max(len(g), len(w)) {
		a, b := "(end)", "(end)"
		if i < len(g) {
			a = g[i]
		}
		if i < len(w) {
			b = w[i]
		}
		if a != b {
			return fmt.Sprintf("line %d: got %.300q, want %.300q", i+1, a, b)
		}
	}
	return "?"
}

// withoutStarts drops what a starting qube's database is filled with, which is not here yet.
func withoutStarts(es []recordedEvent) []recordedEvent {
	spawned := map[string]bool{}
	return slices.DeleteFunc(slices.Clone(es), func(e recordedEvent) bool {
		spawned[e.subject] = spawned[e.subject] || e.name == "domain-spawn"
		return e.name == "domain-qdb-create" && spawned[e.subject]
	})
}

var (
	startTime = regexp.MustCompile(`(start_time default=True type=str) [0-9.]+`)
	xids      = regexp.MustCompile(`(?m)^((?:stubdom_)?xid default=True type=int) \d+$`)
	sizes     = regexp.MustCompile(` +[0-9.]+ (?:bytes|[KMGT]iB) \|`)
	stamps    = regexp.MustCompile(`\d{4}-\d\d-\d\d \d\d:\d\d:\d\d`)
	usage     = regexp.MustCompile(`(?m)^((?:data_)?(?:usage|size))=\d+$`)
)

// normal takes out what the README says is not stable, and what our storage does not tell.
func normal(r record, s string) string {
	switch r.Method {
	case "admin.vm.property.GetAll":
		s = startTime.ReplaceAllString(s, "$1 T")
		return xids.ReplaceAllString(s, "$1 N")
	case "admin.vm.volume.Info":
		return regexp.MustCompile(`(?m)^usage=\d*$`).ReplaceAllString(s, "usage=")
	case "admin.backup.Info":
		return sizes.ReplaceAllString(s, "SIZE |")
	case "admin.vm.device.block.Available":
		return words(s)
	case "admin.vmclass.List", "admin.pool.ListDrivers":
		l := strings.Split(s, "\n")
		sort.Strings(l)
		return strings.Join(l, "\n")
	case "admin.vm.property.Help", "admin.property.Help":
		return ""
	case "admin.pool.Info", "admin.pool.UsageDetails":
		return usage.ReplaceAllString(s, "$1=")
	case "internal.vm.volume.ImportBegin":
		size, _, _ := strings.Cut(s, " ")
		return size
	case "internal.GetSystemInfo":
		return systemInfo(s)
	}
	return s
}

var word = regexp.MustCompile(`\S+='(?:[^'\\]|\\.)*'`)

// words sorts the key='value' words of each line.
func words(s string) string {
	var out []string
	for l := range strings.Lines(s) {
		w := word.FindAllString(l, -1)
		sort.Strings(w)
		out = append(out, strings.Join(w, " "))
	}
	return strings.Join(out, "\n")
}

// systemInfo sorts objects and tags, and writes one line per qube.
func systemInfo(s string) string {
	var v struct{ Domains map[string]map[string]any }
	if json.Unmarshal([]byte(s), &v) != nil {
		return s
	}
	var out []string
	for n, d := range v.Domains {
		if tags, ok := d["tags"].([]any); ok {
			sort.Slice(tags, func(i, j int) bool { return fmt.Sprint(tags[i]) < fmt.Sprint(tags[j]) })
		}
		b, _ := json.Marshal(d)
		out = append(out, n+" "+string(b))
	}
	sort.Strings(out)
	return strings.Join(out, "\n")
}

// recordedDrivers are those of the recorded system.
var recordedDrivers = func() []admin.PoolDriver {
	rev, dir, eph := admin.PoolOption{Name: "revisions_to_keep", Default: "1"}, admin.PoolOption{Name: "dir_path"}, admin.PoolOption{Name: "ephemeral_volatile", Default: "False"}
	plain := func(n string) admin.PoolOption { return admin.PoolOption{Name: n} }
	return []admin.PoolDriver{
		{Name: "callback", Options: []admin.PoolOption{plain("conf_id")}},
		{Name: "file", Options: []admin.PoolOption{rev, dir, eph}},
		{Name: "file-reflink", Options: []admin.PoolOption{rev, dir, {Name: "setup_check", Default: "True", Unkept: true}, eph}},
		{Name: "linux-kernel", Options: []admin.PoolOption{dir}},
		{Name: "lvm_thin", Options: []admin.PoolOption{rev, plain("volume_group"), plain("thin_pool"), eph}},
		{Name: "zfs", Options: []admin.PoolOption{rev, plain("container"), eph, {Name: "snap_on_start_forensics", Default: "False"}}},
	}
}()
