// Package uitest is what the console's tests stand on: an Admin API server with a made-up
// system behind a real socket, a small terminal that understands what the console writes,
// and a robot that presses keys through a pseudo-terminal and waits for words to appear.
package uitest

import (
	"fmt"
	"io"
	"maps"
	"net"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"qubist/core/adminapi"
	"qubist/core/qube"
)

// VM is one qube of a made-up system. Own are its own property values, Rest the defaults.
type VM struct {
	Class, State string
	Own, Rest    map[string]adminapi.Property
	Features     map[string]string
	Tags         []string
	MemKiB       uint64
	CPU          int
}

// Server speaks the Admin API for a made-up system.
type Server struct {
	Socket string
	// Delay is how long Start takes.
	Delay time.Duration
	// StartError is the exception Start answers with, by name.
	StartError map[string]*adminapi.Error
	// Globals are the system's own properties.
	Globals map[string]adminapi.Property

	mu    sync.Mutex
	vms   map[string]*VM
	hung  chan struct{}       // closed when it ends; nil: the server answers
	subs  map[net.Conn]string // subscriptions and their method
	calls []string
	l     net.Listener
	wg    sync.WaitGroup
}

// Serve starts a server that ends with the test.
func Serve(t testing.TB, vms map[string]*VM) *Server {
	t.Helper()
	s := &Server{Socket: filepath.Join(t.TempDir(), "qubesd.sock"), vms: vms, subs: map[net.Conn]string{}, Globals: globals()}
	s.Listen(t)
	t.Cleanup(s.Close)
	return s
}

// Listen accepts connections again after Close.
func (s *Server) Listen(t testing.TB) {
	t.Helper()
	l, err := net.Listen("unix", s.Socket)
	if err != nil {
		t.Fatalf("listening: %v", err)
	}
	s.l = l
	s.wg.Add(1)
	go func() {
		defer s.wg.Done()
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			s.wg.Add(1)
			go func() {
				defer s.wg.Done()
				s.serve(c)
			}()
		}
	}()
}

// Close ends the server and all its connections, as a killed qubesd would.
func (s *Server) Close() {
	_ = s.l.Close()
	s.mu.Lock()
	for c := range s.subs {
		_ = c.Close()
	}
	s.mu.Unlock()
	s.wg.Wait()
}

// Hang makes the server accept and say nothing until the returned function is called.
func (s *Server) Hang() (end func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	hung := make(chan struct{})
	s.hung = hung
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.hung = nil
		close(hung)
	}
}

// Calls are the methods and destinations asked for that change something.
func (s *Server) Calls() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.calls)
}

func (s *Server) serve(c net.Conn) {
	r, err := adminapi.ReadRequest(c)
	s.mu.Lock()
	hung := s.hung
	s.mu.Unlock()
	if hung != nil {
		<-hung
	}
	if err != nil || hung != nil {
		_ = c.Close()
		return
	}
	if r.Method == "admin.Events" || r.Method == "admin.vm.Stats" {
		b, _ := adminapi.Event{Name: adminapi.Connected}.Append(nil)
		_, _ = c.Write(b)
		s.mu.Lock()
		s.subs[c] = r.Method
		s.mu.Unlock()
		if r.Method == "admin.vm.Stats" {
			s.Stats()
		}
		_, _ = io.Copy(io.Discard, c)
		return
	}
	_, _ = c.Write(s.answer(r))
	_ = c.Close()
}

// Send delivers an event to every subscriber of method.
func (s *Server) Send(method string, e adminapi.Event) {
	b, err := e.Append(nil)
	if err != nil {
		panic(err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for c, m := range s.subs {
		if m == method {
			_, _ = c.Write(b)
		}
	}
}

// Stats sends one statistics report of every running qube.
func (s *Server) Stats() {
	s.mu.Lock()
	vms := maps.Clone(s.vms)
	s.mu.Unlock()
	for n, v := range vms {
		if v.State != string(qube.Halted) && v.MemKiB > 0 {
			s.Send("admin.vm.Stats", adminapi.Event{Subject: n, Name: "vm-stats", Args: []adminapi.Arg{
				{Key: "memory_kb", Value: strconv.FormatUint(v.MemKiB, 10)}, {Key: "cpu_usage", Value: strconv.Itoa(v.CPU)}}})
		}
	}
}

func (s *Server) answer(r adminapi.Request) []byte {
	ok := func(text string) []byte { return adminapi.AppendOK(nil, []byte(text)) }
	s.mu.Lock()
	v := s.vms[r.Dest]
	if v == nil {
		s.mu.Unlock()
		return adminapi.Errorf(adminapi.VMNotFound, "No such domain: %s", r.Dest).Append(nil)
	}
	defer s.mu.Unlock()
	switch r.Method {
	case "admin.vm.List":
		return ok(s.list(r.Dest))
	case "admin.vm.property.GetAll":
		return ok(v.properties())
	case "admin.property.GetAll":
		return ok(named(s.Globals))
	case "admin.property.Get":
		return property(s.Globals[r.Arg], r.Arg)
	case "admin.vm.property.Get":
		return property(v.property(r.Arg), r.Arg)
	case "admin.vm.feature.List":
		return ok(lines(slices.Sorted(maps.Keys(v.Features))))
	case "admin.vm.feature.Get":
		return ok(v.Features[r.Arg])
	case "admin.vm.tag.List":
		return ok(lines(v.Tags))
	case "admin.vm.CurrentState":
		return ok(fmt.Sprintf("mem=%d mem_static_max=%d cputime=0 power_state=%s", v.MemKiB, v.MemKiB, v.State))
	case "admin.qubist.Status":
		return ok("version=0.1\ninstance=test\naccel=tcg\naccel_reason=/dev/kvm is absent\n")
	}
	if m, found := strings.CutPrefix(r.Method, "admin.label."); found {
		return ok(labels(m, r.Arg))
	}
	return s.change(r, v)
}

func (s *Server) list(dest string) string {
	var b []byte
	for _, n := range slices.Sorted(maps.Keys(s.vms)) {
		if dest == "dom0" || n == dest {
			b = adminapi.VMLine{Name: n, Class: s.vms[n].Class, State: s.vms[n].State}.Append(b)
		}
	}
	return string(b)
}

// property is the own or default value, the zero value for none.
func (v *VM) property(name string) adminapi.Property {
	if p, ok := v.Own[name]; ok {
		return p
	}
	return v.Rest[name]
}

func property(p adminapi.Property, name string) []byte {
	if p.Type == "" {
		return adminapi.Errorf(adminapi.Exception, "no property %s", name).Append(nil)
	}
	return adminapi.AppendOK(nil, p.Append(nil))
}

func (v *VM) properties() string {
	all := maps.Clone(v.Rest)
	maps.Copy(all, v.Own)
	return named(all)
}

func named(all map[string]adminapi.Property) string {
	var b []byte
	for _, k := range slices.Sorted(maps.Keys(all)) {
		b = all[k].AppendNamed(b, k)
	}
	return string(b)
}

func labels(method, arg string) string {
	var names []string
	for _, l := range qube.BuiltinLabels {
		names = append(names, l.Name)
		if l.Name == arg && method == "Index" {
			return strconv.Itoa(l.Index)
		}
		if l.Name == arg && method == "Get" {
			return fmt.Sprintf("0x%06x", l.Color)
		}
	}
	return lines(names)
}

func lines(words []string) string {
	if len(words) == 0 {
		return ""
	}
	return strings.Join(words, "\n") + "\n"
}

// change carries out a state change and sends the events of it. s.mu is held.
func (s *Server) change(r adminapi.Request, v *VM) []byte {
	s.calls = append(s.calls, strings.TrimSuffix(r.Method+"+"+r.Arg, "+")+" "+r.Dest)
	set := func(state qube.State, event string) {
		v.State = string(state)
		s.mu.Unlock()
		s.Send("admin.Events", adminapi.Event{Subject: r.Dest, Name: event})
		s.mu.Lock()
	}
	switch r.Method {
	case "admin.vm.Start":
		if e := s.StartError[r.Dest]; e != nil {
			return e.Append(nil)
		}
		set(qube.Transient, "domain-spawn")
		s.mu.Unlock()
		time.Sleep(s.Delay)
		s.mu.Lock()
		set(qube.Running, "domain-start")
	case "admin.vm.Shutdown", "admin.vm.Kill":
		set(qube.Halted, "domain-shutdown")
	case "admin.vm.Pause":
		set(qube.Paused, "domain-paused")
	case "admin.vm.Unpause":
		set(qube.Running, "domain-unpaused")
	case "admin.vm.Remove":
		delete(s.vms, r.Dest)
		s.mu.Unlock()
		s.Send("admin.Events", adminapi.Event{Name: "domain-delete", Args: []adminapi.Arg{{Key: "vm", Value: r.Dest}}})
		s.mu.Lock()
	case "admin.vm.property.Set":
		v.Own[r.Arg] = adminapi.Property{Type: v.property(r.Arg).Type, Value: string(r.Payload)}
		set(qube.State(v.State), "property-set:"+r.Arg)
	case "admin.vm.property.Reset":
		delete(v.Own, r.Arg)
		set(qube.State(v.State), "property-reset:"+r.Arg)
	case "admin.property.Set", "admin.property.Reset":
		p := s.Globals[r.Arg]
		p.Value, p.Default = string(r.Payload), r.Method == "admin.property.Reset"
		s.Globals[r.Arg] = p
		s.mu.Unlock()
		s.Send("admin.Events", adminapi.Event{Name: strings.Replace("property-set:"+r.Arg, "set", map[bool]string{false: "set", true: "reset"}[p.Default], 1)})
		s.mu.Lock()
	default:
		return adminapi.Errorf(adminapi.ProtocolError, "no such method: %s", r.Method).Append(nil)
	}
	return adminapi.AppendOK(nil, nil)
}
