package policy

import (
	"cmp"
	"maps"
	"slices"
	"strings"
)

// MaxEdges bounds a graph.
const MaxEdges = 200_000

// Filter selects a part of the graph; empty fields select everything.
type Filter struct {
	Source, Target, Service string
}

// Edge says that Source can reach Target by Service, at once or when the user agrees.
// Service "*" stands for every service no rule names, Argument "*" for every argument no
// rule of the service names. Target is a qube, "dom0" or "@dispvm:N".
type Edge struct {
	Source, Target, Service, Argument string
	Action                            Action // Allow or Ask
	Rule                              *Rule
}

// Graph computes who can call whom, sorted by source, target, service and argument. It
// tries every kind of call of every qube, so it costs qubes² times the named services.
// complete is false when there are more than MaxEdges.
func Graph(p *Policy, sys *System, f Filter) (edges []Edge, complete bool) {
	g := grapher{p: p, sys: sys, f: f, best: map[edgeKey]Edge{}}
	var names, targets []string
	sys.Domains(func(d *Domain) {
		names = append(names, d.Name)
		if d.TemplateForDispVMs {
			targets = append(targets, dispVMPrefix+d.Name)
		}
	})
	slices.Sort(names)
	targets = append(append(targets, names...), defaultToken, dispVMToken, adminName)
	for _, c := range p.calls() {
		if f.Service != "" && f.Service != c.service {
			continue
		}
		for _, source := range names {
			if f.Source != "" && f.Source != source {
				continue
			}
			for _, target := range targets {
				if !g.try(c, source, target) {
					return g.sorted(), false
				}
			}
		}
	}
	return g.sorted(), true
}

// callKind is a service and argument that rules tell apart.
type callKind struct{ service, argument string }

// unnamed is a service or argument that no rule can name.
const unnamed = "\x00"

// calls are the kinds of calls that rules tell apart, the rest of each as "*".
func (p *Policy) calls() []callKind {
	kinds := []callKind{{"*", "*"}}
	for service, s := range p.byService {
		kinds = append(kinds, callKind{service, "*"})
		for argument := range s.byArgument {
			kinds = append(kinds, callKind{service, argument})
		}
	}
	return kinds
}

type edgeKey struct{ source, target, service, argument string }

type grapher struct {
	p    *Policy
	sys  *System
	f    Filter
	best map[edgeKey]Edge
}

// try adds what one call can reach. It returns false when there are too many edges.
func (g *grapher) try(c callKind, source, target string) bool {
	r := Request{Service: c.service, Argument: c.argument, Source: source, Target: target}
	if c.service == "*" {
		r.Service = unnamed
	}
	if c.argument == "*" {
		r.Argument = "+" + unnamed
	}
	v := g.p.Evaluate(g.sys, r)
	reached := v.Targets
	switch v.Action {
	case Deny:
		return true
	case Allow:
		if _, reason := v.Respond(); reason != reasonNone {
			return true
		}
		reached = []string{v.Target}
	}
	for _, t := range reached {
		if d := g.sys.Get(t); d != nil {
			t = d.Name // uuid:U
		}
		if t == source || g.f.Target != "" && g.f.Target != t {
			continue
		}
		k := edgeKey{source, t, c.service, c.argument}
		if old, ok := g.best[k]; ok && (old.Action == Allow || v.Action == Ask) {
			continue
		}
		if len(g.best) >= MaxEdges {
			return false
		}
		g.best[k] = Edge{source, t, c.service, c.argument, v.Action, v.Rule}
	}
	return true
}

func (g *grapher) sorted() []Edge {
	return slices.SortedFunc(maps.Values(g.best), func(a, b Edge) int {
		return cmp.Or(strings.Compare(a.Source, b.Source), strings.Compare(a.Target, b.Target),
			strings.Compare(a.Service, b.Service), strings.Compare(a.Argument, b.Argument))
	})
}
