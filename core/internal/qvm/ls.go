package qvm

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sync/errgroup"

	"qubist/core/adminapi"
	"qubist/core/adminclient"
)

var lsOptions = with([]option{
	val("format,o", "FORMAT", "the columns of a format (--help-formats)"), val("fields,O", "FIELD,…", "these columns or properties"),
	sw("network,n", "format network"), sw("kernel,k", "format kernel"), sw("disk,d", "format disk"), sw("tree,t", "clients below their network qube"),
	sw("raw-list", "names only"), sw("raw-data", "columns separated by '|', no head"), sw("help-formats", "list the formats"), sw("help-columns", "list the columns"),
	val("sort", "COLUMN", "order by a column"), sw("reverse", "turn the order round"), sw("ignore-case", "order without regard to case"), undo(sw("spinner", "ignored")),
}, filterOptions)

// lsFormats are the column sets of spec cli.md §3, in the original's order.
var lsFormats = []struct{ name, columns string }{
	{"simple", "NAME,STATE,CLASS,LABEL,TEMPLATE,NETVM"},
	{"network", "NAME,STATE,NETVM,IP,IPBACK,GATEWAY"},
	{"kernel", "NAME,STATE,CLASS,TEMPLATE,KERNEL,KERNELOPTS"},
	{"full", "NAME,STATE,CLASS,LABEL,QID,XID,UUID"},
	{"prefs", "NAME,LABEL,TEMPLATE,NETVM,VCPUS,INITIALMEM,MAXMEM,VIRT_MODE"},
	{"disk", "NAME,STATE,DISK,PRIV-CURR,PRIV-MAX,PRIV-USED,ROOT-CURR,ROOT-MAX,ROOT-USED"},
}

// parallel is how many calls are under way at a time.
const parallel = 8

// row is one qube with what the columns need.
type row struct {
	adminclient.ListedVM
	props   map[string]adminclient.Property
	volumes map[string]map[string]string // by volume name, when a column needs them
	mem     string                       // MiB
	depth   int
}

func ls(ctx context.Context, t *tool) error {
	if t.has("help-formats") {
		var rows [][]string
		for _, f := range lsFormats {
			rows = append(rows, []string{f.name, strings.ReplaceAll(f.columns, ",", " ")})
		}
		return t.pairs(rows)
	}
	if t.has("help-columns") {
		return t.pairs(helpColumns())
	}
	columns, err := t.columns()
	if err != nil {
		return err
	}
	rows, err := t.rows(ctx)
	if err != nil {
		return err
	}
	if rows, err = t.filtered(ctx, rows); err != nil {
		return err
	}
	if err := t.fill(ctx, rows, t.needs(columns)); err != nil {
		return err
	}
	if err := t.order(rows); err != nil {
		return err
	}
	if t.has("tree") {
		rows = tree(rows)
	}
	if t.has("raw-list") {
		var names []string
		for _, r := range rows {
			names = append(names, string(r.Name))
		}
		return t.lines(names)
	}
	var out [][]string
	for _, r := range rows {
		cells := make([]string, len(columns))
		for i, c := range columns {
			if cells[i] = r.value(c); cells[i] == "" && !t.has("json") {
				cells[i] = "-"
			}
		}
		if !t.has("json") {
			cells = r.drawn(cells, columns)
		}
		out = append(out, cells)
	}
	if t.has("raw-data") && !t.has("json") {
		for _, cells := range out {
			for i := range cells {
				cells[i] = cleanCell(cells[i])
			}
			fmt.Fprintln(t.Stdout, strings.Join(cells, "|"))
		}
		return nil
	}
	return t.table(columns, out)
}

func (t *tool) columns() ([]string, error) {
	if t.has("fields") {
		return strings.Split(strings.ToUpper(t.get("fields")), ","), nil
	}
	format := "simple"
	if t.has("format") {
		format = t.get("format")
	}
	for _, short := range []string{"network", "kernel", "disk"} {
		if t.has(short) {
			format = short
		}
	}
	var names []string
	for _, f := range lsFormats {
		if f.name == format {
			return strings.Split(f.columns, ","), nil
		}
		names = append(names, "'"+f.name+"'")
	}
	return nil, usageError(fmt.Sprintf("argument --format/-o: invalid choice: '%s' (choose from %s)", format, strings.Join(names, ", ")))
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
	out := make([]*row, len(vms))
	for i, v := range vms {
		out[i] = &row{ListedVM: v}
	}
	return out, err
}

// need says what has to be asked for each qube; nothing is asked that no column shows.
type need struct{ props, volumes, memory bool }

func (t *tool) needs(columns []string) need {
	var n need
	if t.has("raw-list") {
		columns = nil
	}
	n.props = t.has("tree")
	for _, c := range append(slices.Clone(columns), strings.ToUpper(t.get("sort"))) {
		col := column(c)
		n.volumes = n.volumes || col.volumes
		n.memory = n.memory || c == "MEMORY"
		n.props = n.props || col.props
	}
	return n
}

// fill asks for what the columns need. A qube that went away shows what is known.
func (t *tool) fill(ctx context.Context, rows []*row, n need) error {
	return eachRow(ctx, rows, func(ctx context.Context, r *row) (err error) {
		if n.props && r.props == nil {
			if r.props, err = t.c.Properties(ctx, string(r.Name)); err != nil {
				return err
			}
		}
		if n.volumes {
			if r.volumes, err = t.volumesOf(ctx, string(r.Name)); err != nil {
				return err
			}
		}
		if n.memory {
			s, err := t.c.CurrentState(ctx, string(r.Name))
			if err != nil {
				return err
			}
			r.mem = strconv.FormatUint(s.MemKiB/1024, 10)
		}
		return nil
	})
}

func eachRow(ctx context.Context, rows []*row, f func(context.Context, *row) error) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(parallel)
	for _, r := range rows {
		g.Go(func() error {
			if err := f(ctx, r); !isKind(err, adminapi.VMNotFound) {
				return err
			}
			return nil
		})
	}
	return g.Wait()
}

// order sorts by name, or as asked; numeric columns by value.
func (t *tool) order(rows []*row) error {
	by := "NAME"
	if t.has("sort") {
		by = strings.ToUpper(t.get("sort"))
	}
	numeric := slices.Contains(numericColumns, by)
	slices.SortStableFunc(rows, func(a, b *row) int {
		x, y := a.value(by), b.value(by)
		if numeric {
			n, _ := strconv.ParseInt(strings.TrimSuffix(x, "%"), 10, 64)
			m, _ := strconv.ParseInt(strings.TrimSuffix(y, "%"), 10, 64)
			return cmp.Compare(n, m)
		}
		if t.has("ignore-case") {
			x, y = strings.ToLower(x), strings.ToLower(y)
		}
		return cmp.Compare(x, y)
	})
	if t.has("reverse") {
		slices.Reverse(rows)
	}
	return nil
}

// tree puts the clients of a network qube below it; at the top those without clients first.
func tree(rows []*row) []*row {
	here, provides := map[string]bool{}, map[string]bool{}
	for _, r := range rows {
		here[string(r.Name)] = true
		provides[r.props["netvm"].Value] = true
	}
	var out []*row
	done := map[*row]bool{}
	var add func(r *row, depth int)
	add = func(r *row, depth int) {
		if done[r] { // a server may claim a loop
			return
		}
		done[r] = true
		r.depth = depth
		out = append(out, r)
		for _, c := range rows {
			if c.props["netvm"].Value == string(r.Name) {
				add(c, depth+1)
			}
		}
	}
	for _, parents := range []bool{false, true} {
		for _, r := range rows {
			if n := r.props["netvm"].Value; (n == "" || !here[n]) && provides[string(r.Name)] == parents {
				add(r, 0)
			}
		}
	}
	for _, r := range rows {
		add(r, 0)
	}
	return out
}
