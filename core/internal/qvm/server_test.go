package qvm_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"qubist/core/adminapi"
)

// request is one call as the recordings have it.
type request struct{ Method, Dest, Arg, Payload string }

func (r request) String() string {
	s := strings.TrimPrefix(r.Method, "admin.") + "+" + r.Arg + " " + r.Dest
	if r.Payload != "" {
		s += fmt.Sprintf(" %.300q", r.Payload)
	}
	return s
}

// fakeVM is a qube of the scripted server.
type fakeVM struct {
	Name, Class, State, UUID string
	Props                    map[string][3]any // type, default, value
	tags, features           []string          // features in the order of their setting
	values                   map[string]string
	volumes                  []string
	size                     map[string]int
	pool                     string
	firewall, notes          string
}

// server answers calls from a small model of the recorded system, enough for every request
// the tools make; it checks nothing that a tool should have checked.
type server struct {
	t       *testing.T
	mu      sync.Mutex
	classes map[string]map[string][3]any
	vms     map[string]*fakeVM
	globals map[string][3]any
	labels  []string
	seen    []request
	// devices are lines of Available, Attached and Assigned, by "LIST VM".
	devices map[string]string
	// answers go before the model: "METHOD+ARG DEST" to an answer or exception.
	answers map[string]any
}

func newServer(t *testing.T) *server {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", "system.json"))
	if err != nil {
		t.Fatal(err)
	}
	var f struct {
		Classes map[string]map[string][3]any
		VMs     []*fakeVM
		Globals map[string][3]any
		Labels  []string
	}
	if err := json.Unmarshal(b, &f); err != nil {
		t.Fatal(err)
	}
	s := &server{t: t, classes: f.Classes, vms: map[string]*fakeVM{}, globals: f.Globals, labels: f.Labels, devices: map[string]string{}, answers: map[string]any{}}
	for _, v := range f.VMs {
		s.add(v)
		v.tags = []string{"audiovm-dom0", "created-by-dom0", "guivm-dom0"}
		switch {
		case v.Name == "work" || v.Name == "personal":
			v.tags = append(v.tags, "work")
		case v.Name == "dev":
			v.pool = "pool2"
		case v.Class == "TemplateVM":
			for _, kv := range strings.Split("qrexec=1 gui=1 os=Linux vmexec=1 qubes-firewall=1 supported-service.meminfo-writer=1 supported-rpc.qubes.WaitForRunningSystem=1 supported-rpc.qubes.WaitForSession=1 os-distribution=debian os-version=12", " ") {
				k, val, _ := strings.Cut(kv, "=")
				v.setFeature(k, val)
			}
		}
	}
	return s
}

func (s *server) add(v *fakeVM) {
	over := v.Props
	v.Props = maps.Clone(s.classes[v.Class])
	maps.Copy(v.Props, over)
	v.values, v.size, v.pool, v.firewall = map[string]string{}, map[string]int{}, "varlibqubes", "action=accept\n"
	if v.Class != "AdminVM" && v.Class != "RemoteVM" {
		v.volumes = []string{"root", "private", "volatile", "kernel"}
		v.size = map[string]int{"root": 10 << 30, "private": 2 << 30, "volatile": 10 << 30}
	}
	s.vms[v.Name] = v
}

func (v *fakeVM) setFeature(k, val string) {
	if !slices.Contains(v.features, k) {
		v.features = append(v.features, k)
	}
	v.values[k] = val
}

// listen serves until the test ends and returns the instance's root.
func (s *server) listen() string {
	root, err := os.MkdirTemp("", "qv") // socket paths are short
	if err != nil {
		s.t.Fatal(err)
	}
	if err := os.MkdirAll(root+"/run", 0o755); err != nil {
		s.t.Fatal(err)
	}
	var listeners []net.Listener
	var wg sync.WaitGroup
	for _, name := range []string{"qubesd.sock", "qubesd.internal.sock"} {
		l, err := net.Listen("unix", root+"/run/"+name)
		if err != nil {
			s.t.Fatal(err)
		}
		listeners = append(listeners, l)
		wg.Go(func() {
			for {
				conn, err := l.Accept()
				if err != nil {
					return
				}
				wg.Go(func() { s.serve(conn) })
			}
		})
	}
	s.t.Cleanup(func() {
		for _, l := range listeners {
			l.Close()
		}
		wg.Wait()
		os.RemoveAll(root)
	})
	return root
}

func (s *server) serve(conn net.Conn) {
	defer conn.Close()
	r, err := adminapi.ReadRequest(conn)
	if err != nil {
		s.t.Errorf("reading a request: %v", err)
		return
	}
	q := request{r.Method, r.Dest, r.Arg, string(r.Payload)}
	s.mu.Lock()
	s.seen = append(s.seen, q)
	data, aerr := s.answer(q)
	s.mu.Unlock()
	var b []byte
	switch {
	case aerr != nil:
		b = aerr.Append(nil)
	case strings.HasPrefix(data, "1\x00"): // an event stream
		b = []byte(data)
	default:
		b = adminapi.AppendOK(nil, []byte(data))
	}
	_, _ = conn.Write(b) // the tool may have gone
}

// take gives the requests since the last call.
func (s *server) take() []request {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := s.seen
	s.seen = nil
	return out
}

func (s *server) answer(q request) (string, *adminapi.Error) {
	switch a := s.answers[q.Method+"+"+q.Arg+" "+q.Dest].(type) {
	case string:
		return a, nil
	case *adminapi.Error:
		return "", a
	}
	if q.Dest != "dom0" || strings.HasPrefix(q.Method, "admin.vm.") && q.Method != "admin.vm.List" && !strings.HasPrefix(q.Method, "admin.vm.Create") {
		v := s.vms[q.Dest]
		if v == nil {
			return "", adminapi.Errorf(adminapi.VMNotFound, "No such domain: '%s'", q.Dest)
		}
		return s.vmAnswer(v, q)
	}
	if class, ok := strings.CutPrefix(q.Method, "admin.vm.Create."); ok {
		return s.create(class, q)
	}
	switch q.Method {
	case "admin.vm.List":
		out := ""
		for _, n := range slices.Sorted(maps.Keys(s.vms)) {
			v := s.vms[n]
			out += string(adminapi.VMLine{Name: v.Name, Class: v.Class, State: v.State, UUID: v.UUID}.Append(nil))
		}
		return out, nil
	case "admin.vmclass.List":
		return "TemplateVM\nAppVM\nAdminVM\nDispVM\nStandaloneVM\nRemoteVM\n", nil
	case "admin.label.List":
		return strings.Join(s.labels, "\n") + "\n", nil
	case "admin.deviceclass.List":
		return "block\npci\n", nil
	case "admin.property.GetAll":
		return getAll(s.globals), nil
	case "admin.property.Get", "admin.property.Set", "admin.property.Reset":
		return property(s.globals, strings.TrimPrefix(q.Method, "admin.property."), q)
	case "admin.pool.List":
		return "varlibqubes\nlinux-kernel\npool2\npool2-f\n", nil
	case "admin.pool.Info":
		return map[string]string{
			"varlibqubes":  "dir_path=/var/lib/qubes\ndriver=file-reflink\nephemeral_volatile=False\nname=varlibqubes\nrevisions_to_keep=1\nsize=270553174016\nusage=24577773568\n",
			"linux-kernel": "dir_path=/var/lib/qubes/vm-kernels\ndriver=linux-kernel\nname=linux-kernel\n",
			"pool2":        "dir_path=/var/lib/qubes/pool2\ndriver=file-reflink\nname=pool2\n",
			"pool2-f":      "dir_path=/var/lib/qubes/pool2-f\ndriver=file\nname=pool2-f\n",
		}[q.Arg], nil
	case "admin.pool.ListDrivers":
		return "zfs revisions_to_keep container ephemeral_volatile snap_on_start_forensics\nfile revisions_to_keep dir_path ephemeral_volatile\ncallback conf_id\n" +
			"file-reflink revisions_to_keep dir_path setup_check ephemeral_volatile\nlvm_thin revisions_to_keep volume_group thin_pool ephemeral_volatile\nlinux-kernel dir_path\n", nil
	case "admin.pool.Add", "admin.pool.Remove", "admin.pool.Set.revisions_to_keep":
		return "", nil
	}
	return s.unknown(q)
}

func (s *server) unknown(q request) (string, *adminapi.Error) {
	s.t.Errorf("the scripted server does not know %v", q)
	return "", adminapi.Errorf(adminapi.ProtocolError, "no such method: '%s'", q.Method)
}

func (s *server) create(class string, q request) (string, *adminapi.Error) {
	kv := adminapi.KeyValues([]byte(q.Payload), " ")
	if s.vms[kv["name"]] != nil {
		return "", adminapi.Errorf(adminapi.VMAlreadyExists, "Qube already exists: %s", kv["name"])
	}
	s.add(&fakeVM{Name: kv["name"], Class: class, State: "Halted", Props: map[string][3]any{
		"name": {"str", false, kv["name"]}, "label": {"label", false, kv["label"]}, "template": {"vm", false, q.Arg},
	}})
	return "", nil
}

func getAll(props map[string][3]any) string {
	var out []byte
	for _, n := range slices.Sorted(maps.Keys(props)) {
		out = prop(props[n]).AppendNamed(out, n)
	}
	return string(out)
}

func prop(p [3]any) adminapi.Property {
	return adminapi.Property{Type: p[0].(string), Default: p[1].(bool), Value: p[2].(string)}
}

func property(props map[string][3]any, verb string, q request) (string, *adminapi.Error) {
	p, ok := props[q.Arg]
	if !ok {
		return "", adminapi.Errorf(adminapi.NoSuchProperty, "Invalid property '%s' of %s", q.Arg, q.Dest)
	}
	switch verb {
	case "Get":
		return string(prop(p).Append(nil)), nil
	case "Set":
		props[q.Arg] = [3]any{p[0], false, q.Payload}
	case "Reset":
		props[q.Arg] = [3]any{p[0], true, p[2]}
	}
	return "", nil
}

func (s *server) vmAnswer(v *fakeVM, q request) (string, *adminapi.Error) {
	family, verb := q.Method, ""
	for _, f := range []string{"property", "feature", "tag", "volume", "device", "firewall", "notes"} {
		if rest, ok := strings.CutPrefix(q.Method, "admin.vm."+f+"."); ok {
			family, verb = f, rest
		}
	}
	switch family {
	case "property":
		if verb == "GetAll" {
			return getAll(v.Props), nil
		}
		return property(v.Props, verb, q)
	case "feature":
		return s.featureAnswer(v, verb, q)
	case "tag":
		return v.tagAnswer(verb, q.Arg)
	case "volume":
		return s.volumeAnswer(v, verb, q)
	case "firewall":
		if verb == "Set" {
			v.firewall = q.Payload
		}
		return map[string]string{"Get": v.firewall}[verb], nil
	case "notes":
		if verb == "Set" {
			v.notes = q.Payload
		}
		return map[string]string{"Get": v.notes}[verb], nil
	case "device":
		_, list, _ := strings.Cut(verb, ".")
		return s.devices[list+" "+v.Name], nil
	}
	return s.power(v, q)
}

func (s *server) power(v *fakeVM, q request) (string, *adminapi.Error) {
	switch strings.TrimPrefix(q.Method, "admin.vm.") {
	case "CurrentState":
		return fmt.Sprintf("mem=409600 mem_static_max=409600 cputime=0 power_state=%s", v.State), nil
	case "Start", "Unpause":
		v.State = "Running"
	case "Pause":
		v.State = "Paused"
	case "Kill":
		if v.State == "Halted" {
			return "", adminapi.Errorf(adminapi.VMNotStarted, "Domain is powered off: '%s'", v.Name)
		}
		v.State = "Halted"
		if v.Class == "DispVM" {
			delete(s.vms, v.Name)
		}
	case "Shutdown":
		var users []string
		for n, o := range s.vms {
			if o.State == "Running" && o.Props["netvm"][2] == v.Name {
				users = append(users, n)
			}
		}
		switch {
		case slices.Contains(users, "sys-firewall"):
			return "", adminapi.Errorf(adminapi.VMInUse, "There are other VMs connected to this VM: sys-firewall")
		case v.State == "Halted":
			return "", adminapi.Errorf(adminapi.VMNotStarted, "Domain is powered off: '%s'", v.Name)
		}
		v.State = "Halted"
	case "Remove":
		if v.State != "Halted" {
			return "", adminapi.Errorf(adminapi.VMNotHalted, "Domain is not powered off: '%s'", v.Name)
		}
		delete(s.vms, v.Name)
	case "CreateDisposable":
		s.add(&fakeVM{Name: "disp5654", Class: "DispVM", State: "Halted"})
		return "disp5654", nil
	default:
		return s.unknown(q)
	}
	return "", nil
}

func (s *server) featureAnswer(v *fakeVM, verb string, q request) (string, *adminapi.Error) {
	value, have := v.values[q.Arg]
	switch verb {
	case "List":
		return strings.Join(append(slices.Clone(v.features), ""), "\n"), nil
	case "Set":
		v.setFeature(q.Arg, q.Payload)
		return "", nil
	case "CheckWithTemplate":
		for _, n := range []any{v.Props["template"][2]} {
			if t := s.vms[fmt.Sprint(n)]; !have && t != nil {
				value, have = t.values[q.Arg]
			}
		}
	case "Remove":
		delete(v.values, q.Arg)
		v.features = slices.DeleteFunc(v.features, func(f string) bool { return f == q.Arg })
		value = ""
	}
	if !have {
		return "", adminapi.Errorf(adminapi.FeatureNotFound, "Feature not set for domain %s: %s", v.Name, q.Arg)
	}
	return value, nil
}

func (v *fakeVM) tagAnswer(verb, tag string) (string, *adminapi.Error) {
	i, have := slices.BinarySearch(v.tags, tag)
	switch {
	case verb == "List":
		return strings.Join(append(slices.Clone(v.tags), ""), "\n"), nil
	case verb == "Set" && !have:
		v.tags = slices.Insert(v.tags, i, tag)
	case verb == "Remove" && have:
		v.tags = slices.Delete(v.tags, i, i+1)
	case verb == "Get" && have:
		return "1", nil
	case verb == "Get":
		return "0", nil
	}
	return "", nil
}

func (s *server) volumeAnswer(v *fakeVM, verb string, q request) (string, *adminapi.Error) {
	switch verb {
	case "List":
		return strings.Join(append(slices.Clone(v.volumes), ""), "\n"), nil
	case "Resize":
		v.size[q.Arg], _ = strconv.Atoi(q.Payload)
	case "CloneFrom":
		return "token", nil
	case "Info":
		dir := map[string]string{"TemplateVM": "vm-templates/"}[v.Class]
		if dir == "" {
			dir = "appvms/"
		}
		pool, vid := "varlibqubes", dir+v.Name+"/"+q.Arg
		switch {
		case q.Arg == "kernel":
			pool, vid = "linux-kernel", "6.12.40-1.fc41"
		case q.Arg != "root":
			pool = v.pool
		}
		keep := adminapi.PyBool(q.Arg == "private" || q.Arg == "root" && v.Class != "AppVM")
		return fmt.Sprintf("pool=%s\nvid=%s\nsize=%d\nusage=0\nrw=True\nsource=\npath=/x\nsave_on_stop=%s\nsnap_on_start=False\nrevisions_to_keep=1\nephemeral=False\nis_outdated=False\n", pool, vid, v.size[q.Arg], keep), nil
	}
	return "", nil
}
