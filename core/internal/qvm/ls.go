package qvm

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sync/errgroup"

	"qubist/core/adminapi"
	"qubist/core/adminclient"
	"qubist/core/qube"
	"qubist/core/safetext"
)

var lsOptions = append([]option{
	{long: "format", short: 'o', value: true}, {long: "fields", short: 'O', value: true}, {long: "raw-list"}, {long: "raw-data"}, {long: "json"},
	{long: "network", short: 'n'}, {long: "kernel", short: 'k'}, {long: "tree", short: 't'},
	{long: "running"}, {long: "paused"}, {long: "halted"}, {long: "class", value: true}, {long: "label", value: true}, {long: "tags", value: true},
	{long: "template-source", value: true}, {long: "netvm-is", value: true},
	{long: "sort", value: true}, {long: "reverse"}, {long: "ignore-case"}, {long: "spinner", no: true},
}, selectOptions...)

// lsFormats are the column sets of spec cli.md §3; disk columns come with the volume methods.
var lsFormats = map[string]string{
	"simple":  "NAME,STATE,CLASS,LABEL,TEMPLATE,NETVM",
	"network": "NAME,STATE,NETVM,IP,IPBACK,GATEWAY",
	"full":    "NAME,STATE,CLASS,LABEL,QID,XID,UUID",
	"kernel":  "NAME,STATE,CLASS,TEMPLATE,KERNEL,KERNELOPTS",
	"prefs":   "NAME,LABEL,TEMPLATE,NETVM,VCPUS,INITIALMEM,MAXMEM,VIRT_MODE",
}

// parallel is how many calls are under way at a time.
const parallel = 8

// row is one qube with what the columns need.
type row struct {
	adminclient.ListedVM
	props map[string]adminclient.Property
	tags  []string
	mem   string // MiB
	depth int
}

func ls(ctx context.Context, t *tool) error {
	columns, err := t.columns()
	if err != nil {
		return err
	}
	rows, err := t.rows(ctx)
	if err != nil {
		return err
	}
	if !t.has("raw-list") || t.has("label") || t.has("tags") || t.has("template-source") || t.has("netvm-is") {
		if err := t.fill(ctx, rows, slices.Contains(columns, "MEMORY")); err != nil {
			return err
		}
	}
	rows = slices.DeleteFunc(rows, func(r *row) bool { return !t.wanted(r) })
	t.order(rows)
	if t.has("tree") {
		rows = tree(rows)
	}
	switch {
	case t.has("raw-list"):
		for _, r := range rows {
			fmt.Fprintln(t.Stdout, r.Name)
		}
		return nil
	case t.has("json"):
		return t.json(rows, columns)
	}
	var out [][]string
	for _, r := range rows {
		cells := make([]string, len(columns))
		for i, c := range columns {
			cells[i] = r.cell(c)
		}
		out = append(out, cells)
	}
	if t.has("raw-data") {
		for _, cells := range out {
			fmt.Fprintln(t.Stdout, strings.Join(cells, "|"))
		}
		return nil
	}
	table(t, append([][]string{columns}, out...))
	return nil
}

func (t *tool) columns() ([]string, error) {
	format := "simple"
	switch {
	case t.has("fields"):
		return strings.Split(strings.ToUpper(t.get("fields")), ","), nil
	case t.has("network"):
		format = "network"
	case t.has("kernel"):
		format = "kernel"
	case t.has("format"):
		format = t.get("format")
	}
	f, ok := lsFormats[format]
	if !ok {
		return nil, usageError(fmt.Sprintf("argument --format/-o: invalid choice: '%s'", format))
	}
	return strings.Split(f, ","), nil
}

// rows are the qubes asked for: all, dom0 included, when none is named.
func (t *tool) rows(ctx context.Context) ([]*row, error) {
	var vms []adminclient.ListedVM
	var err error
	if len(t.args) == 0 && !t.has("exclude") {
		vms, err = t.all(ctx)
	} else {
		vms, err = t.selected(ctx, true)
	}
	if err != nil {
		return nil, err
	}
	out := make([]*row, len(vms))
	for i, v := range vms {
		out[i] = &row{ListedVM: v}
	}
	return out, nil
}

// fill asks for properties, and for tags and memory when they matter.
func (t *tool) fill(ctx context.Context, rows []*row, memory bool) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(parallel)
	for _, r := range rows {
		g.Go(func() (err error) {
			defer func() {
				if isKind(err, adminapi.VMNotFound) {
					err = nil // it went away; its row shows what is known
				}
			}()
			if r.props, err = t.c.Properties(ctx, string(r.Name)); err != nil {
				return err
			}
			if t.has("tags") {
				if r.tags, err = t.c.Tags(ctx, string(r.Name)); err != nil {
					return err
				}
			}
			if memory {
				s, err := t.c.CurrentState(ctx, string(r.Name))
				if err != nil {
					return err
				}
				r.mem = strconv.FormatUint(s.MemKiB/1024, 10)
			}
			return nil
		})
	}
	return g.Wait()
}

func (t *tool) wanted(r *row) bool {
	states := map[string]bool{"running": r.State == qube.Running || r.State == qube.Transient, "paused": r.State == qube.Paused, "halted": r.State == qube.Halted}
	any, ok := false, false
	for name, is := range states {
		if t.has(name) {
			any, ok = true, ok || is
		}
	}
	if any && !ok {
		return false
	}
	one := func(flag, value string) bool {
		return !t.has(flag) || slices.Contains(strings.Split(t.get(flag), ","), value)
	}
	if !one("class", string(r.Class)) || !one("label", r.props["label"].Value) || !one("template-source", r.props["template"].Value) || !one("netvm-is", r.props["netvm"].Value) {
		return false
	}
	if t.has("tags") {
		for _, want := range strings.Split(t.get("tags"), ",") {
			if !slices.Contains(r.tags, want) {
				return false
			}
		}
	}
	return true
}

// order sorts by name, or as asked; numbers by value.
func (t *tool) order(rows []*row) {
	column := "NAME"
	if t.has("sort") {
		column = strings.ToUpper(t.get("sort"))
	}
	slices.SortStableFunc(rows, func(a, b *row) int {
		x, y := a.cell(column), b.cell(column)
		if t.has("ignore-case") {
			x, y = strings.ToLower(x), strings.ToLower(y)
		}
		n, errN := strconv.ParseInt(x, 10, 64)
		m, errM := strconv.ParseInt(y, 10, 64)
		if errors.Join(errN, errM) == nil {
			return cmp.Compare(n, m)
		}
		return cmp.Compare(x, y)
	})
	if t.has("reverse") {
		slices.Reverse(rows)
	}
}

// tree puts the clients of a network qube below it.
func tree(rows []*row) []*row {
	here := map[string]bool{}
	for _, r := range rows {
		here[string(r.Name)] = true
	}
	var out []*row
	var add func(netvm string, depth int)
	add = func(netvm string, depth int) {
		for _, r := range rows {
			n := r.props["netvm"].Value
			if !here[n] {
				n = ""
			}
			if n != netvm || len(out) >= len(rows) {
				continue
			}
			r.depth = depth
			out = append(out, r)
			add(string(r.Name), depth+1)
		}
	}
	add("", 0)
	return out
}

// maxCell bounds one column, in terminal cells.
const maxCell = 100

func (r *row) cell(column string) string {
	s := r.value(column)
	if s == "" {
		return "-"
	}
	return safetext.Line(s, maxCell)
}

func (r *row) value(column string) string {
	switch column {
	case "NAME":
		if r.depth > 0 {
			return strings.Repeat("  ", r.depth-1) + "└─" + string(r.Name)
		}
		return string(r.Name)
	case "STATE":
		return string(r.State)
	case "CLASS":
		return string(r.Class)
	case "UUID":
		return r.UUID
	case "MEMORY":
		return r.mem
	case "INITIALMEM":
		column = "memory"
	case "IPBACK":
		return ""
	}
	v := r.props[strings.ToLower(strings.ReplaceAll(column, "-", "_"))].Value
	if column == "XID" && v == "-1" {
		return ""
	}
	return v
}

func (t *tool) json(rows []*row, columns []string) error {
	out := make([]map[string]string, 0, len(rows))
	for _, r := range rows {
		o := map[string]string{}
		for _, c := range columns {
			o[strings.ToLower(c)] = r.value(c)
		}
		out = append(out, o)
	}
	e := json.NewEncoder(t.Stdout)
	e.SetIndent("", "  ")
	return e.Encode(out)
}

// table pads columns with two spaces between.
func table(t *tool, rows [][]string) {
	width := make([]int, len(rows[0]))
	for _, r := range rows {
		for i, c := range r {
			width[i] = max(width[i], safetext.Width(c))
		}
	}
	for _, r := range rows {
		var b strings.Builder
		for i, c := range r {
			b.WriteString(c)
			if i < len(r)-1 {
				b.WriteString(strings.Repeat(" ", width[i]-safetext.Width(c)+2))
			}
		}
		fmt.Fprintln(t.Stdout, strings.TrimRight(b.String(), " "))
	}
}
