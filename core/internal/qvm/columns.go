package qvm

import (
	"context"
	"slices"
	"strconv"
	"strings"

	"qubist/core/adminapi"
	"qubist/core/qube"
)

// lsColumn is a column that is more than a property.
type lsColumn struct {
	about          string
	props, volumes bool // what it needs
	value          func(*row) string
}

// numericColumns are ordered by value.
var numericColumns = []string{"MEMORY", "DISK", "PRIV-CURR", "PRIV-MAX", "PRIV-USED", "ROOT-CURR", "ROOT-MAX", "ROOT-USED", "XID", "MAXMEM", "QREXEC-TIMEOUT", "SHUTDOWN-TIMEOUT", "VCPUS"}

// lsColumns are the columns of spec cli.md §3; any other name is a property's.
var lsColumns = map[string]lsColumn{
	"NAME":       {about: "name", value: func(r *row) string { return string(r.Name) }},
	"STATE":      {about: "power state", value: func(r *row) string { return string(r.State) }},
	"CLASS":      {about: "class", value: func(r *row) string { return string(r.Class) }},
	"UUID":       {about: "unchanging identity", value: func(r *row) string { return r.UUID }},
	"MEMORY":     {about: "memory in use, MiB", value: func(r *row) string { return r.mem }},
	"INITIALMEM": {about: "memory at start, MiB", props: true, value: func(r *row) string { return r.props["memory"].Value }},
	"IPBACK":     {about: "address towards network clients", value: func(*row) string { return "" }},
	"GATEWAY":    {about: "address of the network qube", props: true, value: func(r *row) string { return r.props["visible_gateway"].Value }},
	"XID":        {about: "domain number, when it runs", props: true, value: func(r *row) string { return strings.TrimPrefix(r.props["xid"].Value, "-1") }},
	"FLAGS":      {about: "type, state, updateable, network, rpm, internal, debug, autostart", props: true, value: lsFlags},
	"DISK":       {about: "space used by all volumes, MiB", volumes: true, value: func(r *row) string { return mib(r.sum("usage")) }},
	"PRIV-POOL":  {about: "pool of the private volume", volumes: true, value: func(r *row) string { return r.volumes["private"]["pool"] }},
	"PRIV-CURR":  {about: "space used by the private volume, MiB", volumes: true, value: func(r *row) string { return mib(r.volume("private", "usage")) }},
	"PRIV-MAX":   {about: "size of the private volume, MiB", volumes: true, value: func(r *row) string { return mib(r.volume("private", "size")) }},
	"PRIV-USED":  {about: "used part of the private volume", volumes: true, value: func(r *row) string { return r.percent("private") }},
	"ROOT-POOL":  {about: "pool of the root volume", volumes: true, value: func(r *row) string { return r.volumes["root"]["pool"] }},
	"ROOT-CURR":  {about: "space used by the root volume, MiB", volumes: true, value: func(r *row) string { return mib(r.volume("root", "usage")) }},
	"ROOT-MAX":   {about: "size of the root volume, MiB", volumes: true, value: func(r *row) string { return mib(r.volume("root", "size")) }},
	"ROOT-USED":  {about: "used part of the root volume", volumes: true, value: func(r *row) string { return r.percent("root") }},
}

func cmpOr(a, b string) string {
	if a == "" {
		return b
	}
	return a
}

func column(name string) lsColumn {
	if c, ok := lsColumns[name]; ok {
		return c
	}
	property := strings.ToLower(strings.ReplaceAll(name, "-", "_"))
	return lsColumn{props: name != "", value: func(r *row) string { return r.props[property].Value }}
}

func (r *row) value(name string) string { return column(name).value(r) }

func helpColumns() [][]string {
	var rows [][]string
	for n, c := range lsColumns {
		rows = append(rows, []string{n, c.about})
	}
	slices.SortFunc(rows, func(a, b []string) int { return strings.Compare(a[0], b[0]) })
	return rows
}

// drawn puts the branches of a tree before the name.
func (r *row) drawn(cells, columns []string) []string {
	if i := slices.Index(columns, "NAME"); i >= 0 && r.depth > 0 {
		cells[i] = strings.Repeat("  ", r.depth-1) + branch + cells[i]
	}
	return cells
}

// volumesOf asks for all volumes of a qube.
func (t *tool) volumesOf(ctx context.Context, vm string) (map[string]map[string]string, error) {
	b, err := t.c.Call(ctx, "admin.vm.volume.List", vm, "", nil)
	if err != nil {
		return nil, err
	}
	out := map[string]map[string]string{}
	for _, n := range adminapi.Lines(b) {
		if b, err = t.c.Call(ctx, "admin.vm.volume.Info", vm, n, nil); err != nil {
			return nil, err
		}
		out[n] = adminapi.KeyValues(b, "\n")
	}
	return out, nil
}

// volume gives a number of a volume, 0 when there is none.
func (r *row) volume(name, key string) uint64 {
	n, _ := strconv.ParseUint(r.volumes[name][key], 10, 64)
	return n
}

func (r *row) sum(key string) uint64 {
	var n uint64
	for name := range r.volumes {
		n += r.volume(name, key)
	}
	return n
}

func mib(n uint64) string { return strconv.FormatUint(n>>20, 10) }

func (r *row) percent(name string) string {
	size := r.volume(name, "size")
	if size == 0 {
		return "0"
	}
	return strconv.Itoa(int(float64(r.volume(name, "usage"))*100/float64(size))) + "%"
}

// lsFlags are the eight characters of column FLAGS.
func lsFlags(r *row) string {
	kind := map[qube.Class]string{qube.AdminVM: "0", qube.TemplateVM: "t", qube.AppVM: "a", qube.StandaloneVM: "s", qube.DispVM: "d"}[r.Class]
	if kind == "" {
		kind = "-"
	}
	if r.props["virt_mode"].Value == "hvm" {
		kind = strings.ToUpper(kind)
	}
	state := map[qube.State]string{
		qube.Running: "r", qube.Transient: "t", qube.Paused: "p", qube.Suspended: "s",
		qube.Halting: "h", qube.Dying: "d", qube.Crashed: "c", qube.Halted: "-",
	}[r.State]
	if state == "" {
		state = "?"
	}
	out := kind + state
	for _, f := range []struct{ property, letter string }{{"updateable", "U"}, {"provides_network", "N"}, {"installed_by_rpm", "R"}, {"internal", "i"}, {"debug", "D"}, {"autostart", "A"}} {
		if r.props[f.property].Value == "True" {
			out += f.letter
		} else {
			out += "-"
		}
	}
	return out
}
