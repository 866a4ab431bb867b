package admin

import (
	"context"
	"maps"
	"slices"
	"strings"

	"qubist/core/adminapi"
	"qubist/core/internal/domain"
	"qubist/core/internal/life"
	"qubist/core/qube"
)

// need says whether an argument or payload must, may or must not be there.
type need byte

const (
	no    need = 'N'
	must  need = 'Y'
	maybe need = '?'
)

// where says which destination a method takes.
type where byte

const (
	anywhere where = '*'
	onDom0   where = 'D'
	notDom0  where = 'V'
)

// Method is one row of the table of spec admin-api.md §8. Exactly one of the functions is
// set: Read and Write run with the model's lock held, Do and Stream without.
type Method struct {
	Name         string // ends in "." when a class of qubes follows
	Dest         where
	Arg, Payload need
	Scope        string // local, global or "": which policy file decides
	Flags        string // of R, W, X

	Read   func(*domain.Model, *Call) ([]byte, error)
	Write  func(*domain.Model, *Call) ([]byte, error)
	Do     func(context.Context, *Call) ([]byte, error)
	Stream func(*Call) (*life.Subscription, error)
}

// Set is the methods of one socket.
type Set struct {
	methods  map[string]*Method
	families []*Method
}

func newSet(ms ...[]Method) Set {
	s := Set{methods: map[string]*Method{}}
	for _, list := range ms {
		for i := range list {
			m := &list[i]
			if strings.HasSuffix(m.Name, ".") {
				s.families = append(s.families, m)
			} else {
				s.methods[m.Name] = m
			}
		}
	}
	return s
}

// Names lists the methods, for tests and documentation.
func (s Set) Names() []string {
	var out []string
	for n := range s.methods {
		out = append(out, n)
	}
	for _, m := range s.families {
		out = append(out, m.Name)
	}
	return out
}

// Services are the names under which the methods can be called, sorted.
func (s Set) Services() []string {
	out := slices.Collect(maps.Keys(s.methods))
	for _, m := range s.families {
		for c := range classes {
			out = append(out, m.Name+string(c))
		}
	}
	slices.Sort(out)
	return out
}

// find gives the method of c and notes the variable part of its name.
func (s Set) find(c *Call) *Method {
	if m := s.methods[c.Method]; m != nil {
		return m
	}
	for _, m := range s.families {
		if v, ok := strings.CutPrefix(c.Method, m.Name); ok && classes[qube.Class(v)] {
			c.Var = v
			return m
		}
	}
	return nil
}

// classes are the words that may follow admin.vm.Create.
var classes = map[qube.Class]bool{qube.AdminVM: true, qube.AppVM: true, qube.DispVM: true, qube.RemoteVM: true, qube.StandaloneVM: true, qube.TemplateVM: true}

// check applies the row to a call.
func (m *Method) check(c *Call) error {
	protocol := func(s string) error { return adminapi.Errorf(adminapi.ProtocolError, "%s", s) }
	switch {
	case m.Payload == no && len(c.Payload) > 0:
		return protocol("unexpected payload")
	case m.Payload == must && len(c.Payload) == 0:
		return protocol("expected payload")
	case m.Arg == no && c.Arg != "":
		return protocol("unexpected argument")
	case m.Arg == must && c.Arg == "":
		return protocol("expected an argument")
	case m.Dest == onDom0 && c.Dest != qube.Dom0:
		return protocol("expected destination to be AdminVM")
	case m.Dest == notDom0 && c.Dest == qube.Dom0:
		return protocol("expected destination to not be AdminVM")
	}
	return nil
}

// AdminSet is qubesd.sock, InternalSet qubesd.internal.sock.
func AdminSet() Set {
	return newSet(propertyMethods(), lifeMethods(), createMethods(), labelMethods(), featureMethods(), tagMethods(), volumeMethods(), poolMethods(), firewallMethods(), deviceMethods(), backupMethods())
}

// InternalSet is what dom0's own helpers may call.
func InternalSet() Set { return newSet(internalMethods()) }
