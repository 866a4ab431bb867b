package view

import (
	"fmt"
	"strings"

	"qubist/ui/internal/state"
	"qubist/ui/internal/widget"
)

// Storage is the pools and below them the volumes.
type Storage struct {
	Storage state.Storage
	Volumes []state.Volume // filtered and in order
	Order   state.VolumeOrder
	Find    string
	At, Top int
	Reading bool
	Waiting string
}

// poolLines is how many lines the pools take: title, pools, notes and an empty one.
func (v Storage) poolLines() int {
	n := 2 + min(len(v.Storage.Pools), maxPoolLines)
	for _, s := range v.notes() {
		if s != "" {
			n++
		}
	}
	return n
}

// maxPoolLines bounds the pools listed; further ones are counted.
const maxPoolLines = 6

// StorageRows is how many volumes fit into r.
func (v Storage) StorageRows(r Rect) int { return max(r.H-v.poolLines()-1, 1) }

// notes say what the server does not tell.
func (v Storage) notes() []string {
	var out []string
	if n := len(v.Storage.Pools) - maxPoolLines; n > 0 {
		out = append(out, fmt.Sprintf("and %s", plural(n, "more pool", "more pools")))
	}
	sizes := len(v.Storage.Pools) == 0
	for _, p := range v.Storage.Pools {
		sizes = sizes || p.Size > 0
	}
	if !sizes {
		out = append(out, "This qubesd does not tell how large its pools are; 0 shows the free disk space where that can be seen.")
	}
	if n := v.Storage.Missing; n > 0 {
		out = append(out, fmt.Sprintf("The volumes of %s could not be read.", plural(n, "qube", "qubes")))
	}
	return out
}

// Draw fills r.
func (v Storage) Draw(p Paint, r Rect) {
	if v.Storage.At.IsZero() {
		p.sentence(r, v.Waiting)
		return
	}
	p.put(r, 3, 0, "POOL", p.T.Dim)
	p.put(r, 22, 0, "DRIVER", p.T.Dim)
	p.C.PutRight(r.X+44, r.Y, 8, "VOLUMES", p.T.Dim)
	p.C.PutRight(r.X+53, r.Y, 8, "USED", p.T.Dim)
	as := "as of " + p.clock(v.Storage.At)
	if v.Reading {
		as = "reading …"
	}
	p.C.PutRight(r.X+r.W-1, r.Y, 20, as, p.T.Dim)
	y := 1
	for _, pool := range v.Storage.Pools[:min(len(v.Storage.Pools), maxPoolLines)] {
		p.C.Put(r.X+3, r.Y+y, 18, pool.Name, p.T.Strong)
		p.C.Put(r.X+22, r.Y+y, 13, pool.Driver, p.T.Text)
		p.C.PutRight(r.X+44, r.Y+y, 8, fmt.Sprint(pool.Volumes), p.T.Text)
		used := pool.Used
		if pool.Size == 0 {
			used = pool.Held // what its volumes occupy: the only thing known
		}
		p.C.PutRight(r.X+53, r.Y+y, 8, size(used), p.T.Text)
		if pool.Size > 0 {
			x := p.bar(r.X+55, r.Y+y, max(min(r.W-70, 40), 6), used, pool.Size)
			p.C.Put(x+1, r.Y+y, 12, "of "+size(pool.Size), p.T.Dim)
		} else {
			p.C.Put(r.X+55, r.Y+y, r.W-56, pool.Dir, p.T.Dim)
		}
		y++
	}
	for _, n := range v.notes() {
		p.C.Put(r.X+3, r.Y+y, r.W-4, n, p.T.Dim)
		y++
	}
	v.volumes(p, Rect{r.X, r.Y + y + 1, r.W, r.H - y - 1})
}

func (v Storage) volumes(p Paint, r Rect) {
	title := func(x int, text string, o state.VolumeOrder, right bool) {
		s := p.T.Dim
		if o == v.Order {
			s, text = p.T.Accent, text+"▾"
			if o == state.ByOwner {
				text = strings.TrimSuffix(text, "▾") + "▴"
			}
		}
		if right {
			p.C.PutRight(r.X+x, r.Y, 8, text, s)
			return
		}
		p.put(r, x, 0, text, s)
	}
	bar := max(min(r.W-74, r.W/6), 6)
	title(3, "QUBE", state.ByOwner, false)
	title(22, "VOLUME", "", false)
	title(32, "POOL", "", false)
	title(53, "USED", state.ByUsed, true)
	title(55+bar+9, "SIZE", state.BySize, true)
	title(55+bar+11, "KEPT", "", false)
	rows := max(r.H-1, 1)
	if len(v.Volumes) == 0 {
		p.put(r, 3, 1, "No volume matches "+v.Find+".", p.T.Text)
	}
	for i := 0; i < rows && v.Top+i < len(v.Volumes); i++ {
		l := v.Volumes[v.Top+i]
		y := r.Y + 1 + i
		p.C.Put(r.X+3, y, 18, l.Owner, p.T.Text)
		p.C.Put(r.X+22, y, 9, l.Name, p.T.Text)
		p.C.Put(r.X+32, y, 13, l.Pool, p.T.Dim)
		p.C.PutRight(r.X+53, y, 8, size(l.Used), p.T.Text)
		p.bar(r.X+55, y, bar, l.Used, l.Size)
		p.C.PutRight(r.X+55+bar+9, y, 8, size(l.Size), p.T.Text)
		p.C.Put(r.X+55+bar+11, y, r.W-55-bar-12, v.kept(l, r.W >= 110), p.T.Dim)
		if v.Top+i == v.At {
			p.C.Tint(r.X, y, r.W, p.T.Cursor)
		}
	}
	p.scrolled(r, v.Top, rows, len(v.Volumes), v.Find)
}

// kept says what becomes of what is written to l.
func (v Storage) kept(l state.Volume, roomy bool) string {
	switch {
	case l.Keeps && len(l.Revisions) > 0 && roomy:
		return fmt.Sprintf("yes, %s, newest %s", plural(len(l.Revisions), "revision", "revisions"), l.Revisions[len(l.Revisions)-1])
	case l.Keeps && v.Storage.NoRevisions == "":
		return fmt.Sprintf("yes +%d", len(l.Revisions))
	case l.Keeps && roomy && l.Keep > 0:
		return fmt.Sprintf("yes; keeps %s, which this qubesd does not list", plural(l.Keep, "revision", "revisions"))
	case l.Keeps:
		return "yes"
	case l.Fresh && roomy:
		return "no, a copy of the template's at each start"
	case roomy:
		return "no, empty at each start"
	}
	return "no"
}

func size(n uint64) string { return state.Bytes(n) }

// bar draws part of whole in w cells and gives the column after it.
func (p Paint) bar(x, y, w int, part, whole uint64) int {
	filled, rest := widget.Bar(part, whole, w)
	s := p.T.Bar
	if whole > 0 && part*100/whole >= 90 {
		s = p.T.Warn
	}
	x = p.C.Put(x, y, w, filled, s)
	return p.C.Put(x, y, w, rest, p.T.Trough)
}
