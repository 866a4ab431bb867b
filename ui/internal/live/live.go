// Package live is the console's view of a real qubesd: it turns the client library's
// snapshots into the console's state, cleaning every text on the way in, and carries out
// actions. It draws nothing and decides nothing.
package live

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"qubist/core/adminapi"
	"qubist/core/adminclient"
	"qubist/core/qube"
	"qubist/core/safetext"
	"qubist/ui/internal/state"
)

// Limits of shown text, in characters.
const (
	maxWord  = 64
	maxValue = 1000
)

// Source is a system followed through an adminclient.Live.
type Source struct {
	client *adminclient.Client
	live   *adminclient.Live

	mu    sync.Mutex
	cache map[*adminclient.VM]state.Qube // a VM never changes, so neither does its row
}

// NewSource shows what live follows; client is for signs of life.
func NewSource(client *adminclient.Client, live *adminclient.Live) *Source {
	return &Source{client: client, live: live, cache: map[*adminclient.VM]state.Qube{}}
}

// Changed receives after one or more changes of System.
func (s *Source) Changed() <-chan struct{} { return s.live.Changed() }

// Ping returns nil when the server answers a cheap question.
func (s *Source) Ping(ctx context.Context) error {
	_, err := s.client.CurrentState(ctx, string(qube.Dom0))
	return err
}

// System is the newest picture.
func (s *Source) System() state.System { return s.convert(s.live.Snapshot()) }

func (s *Source) convert(snap *adminclient.Snapshot) state.System {
	out := state.System{Connected: snap.Connected, Ever: snap.Ever, Why: word(snap.Err, maxValue), Globals: properties(snap.Globals)}
	for _, l := range snap.Labels {
		out.Labels = append(out.Labels, label(l))
	}
	if snap.Status != nil {
		out.Status = make(map[string]string, len(snap.Status))
		for k, v := range snap.Status {
			out.Status[word(k, maxWord)] = word(v, maxValue)
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	next := make(map[*adminclient.VM]state.Qube, len(snap.VMs))
	for _, v := range snap.VMs {
		q, ok := s.cache[v]
		if !ok {
			q = convert(v)
		}
		next[v] = q
		out.Qubes = append(out.Qubes, q)
	}
	s.cache = next
	return out
}

// word is foreign text fit to show. It is reduced to ASCII: everything the Admin API carries
// is ASCII by its rules, and no terminal disagrees about its width.
func word(s string, limit int) string { return safetext.Name(s, limit) }

var phases = map[qube.State]state.Phase{
	qube.Running: state.Running, qube.Transient: state.Starting, qube.Paused: state.Paused, qube.Suspended: state.Suspended,
	qube.Halting: state.Halting, qube.Dying: state.Halting, qube.Crashed: state.Crashed, qube.Halted: state.Halted,
}

func convert(v *adminclient.VM) state.Qube {
	q := state.Qube{
		Name: word(string(v.Name), maxWord), Class: word(string(v.Class), maxWord), Phase: state.Unknown, Label: label(v.Label),
		Template: word(v.Template(), maxWord), NetVM: word(v.NetVM(), maxWord), MemKiB: v.MemKiB, CPU: v.CPUPercent,
		Fault: word(v.Err, maxValue), Properties: properties(v.Properties),
	}
	if p, ok := phases[v.State]; ok {
		q.Phase = p
	}
	if sec, err := strconv.ParseFloat(v.Properties["start_time"].Value, 64); err == nil && sec > 0 && sec < 1e11 {
		q.Since = time.Unix(int64(sec), 0)
	}
	for k, val := range v.Features {
		q.Features = append(q.Features, state.Feature{Name: word(k, maxWord), Value: word(val, maxValue)})
	}
	slices.SortFunc(q.Features, func(a, b state.Feature) int { return strings.Compare(a.Name, b.Name) })
	for _, t := range v.Tags {
		q.Tags = append(q.Tags, word(t, maxWord))
	}
	return q
}

func label(l qube.Label) state.Label {
	return state.Label{Name: word(l.Name, maxWord), Color: l.Color & 0xffffff}
}

func properties(in map[string]adminapi.Property) []state.Property {
	out := make([]state.Property, 0, len(in))
	for k, p := range in {
		out = append(out, state.Property{Name: word(k, maxWord), Value: word(p.Value, maxValue), Type: word(p.Type, maxWord), Default: p.Default})
	}
	slices.SortFunc(out, func(a, b state.Property) int { return strings.Compare(a.Name, b.Name) })
	return out
}
