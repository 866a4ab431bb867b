package replay

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"image"
	"slices"

	"github.com/BurntSushi/xgb/xproto"

	"qubist/gui/internal/xconn"
)

// looker sees what any X client can see.
type looker struct {
	c     *xconn.Conn
	atoms map[string]xproto.Atom
	names map[xproto.Atom]string
}

func newLooker(c *xconn.Conn) *looker {
	return &looker{c, map[string]xproto.Atom{}, map[xproto.Atom]string{}}
}

func (l *looker) atom(name string) xproto.Atom {
	if a, ok := l.atoms[name]; ok {
		return a
	}
	a, err := l.c.Atom(name)
	if err == nil {
		l.atoms[name], l.names[a] = a, name
	}
	return a
}

func (l *looker) name(a xproto.Atom) string {
	if n, ok := l.names[a]; ok {
		return n
	}
	r, err := xproto.GetAtomName(l.c.X, a).Reply()
	if err != nil {
		return fmt.Sprintf("atom %d", a)
	}
	l.names[a] = r.Name
	return r.Name
}

// values are the items of a property of format 32.
func (l *looker) values(w xproto.Window, prop xproto.Atom) []uint32 {
	r, err := xproto.GetProperty(l.c.X, false, w, prop, xproto.GetPropertyTypeAny, 0, 1<<20).Reply()
	if err != nil || r.Format != 32 {
		return nil
	}
	return words(r.Value)
}

func words(b []byte) []uint32 {
	vs := make([]uint32, len(b)/4)
	for i := range vs {
		vs[i] = binary.LittleEndian.Uint32(b[4*i:])
	}
	return vs
}

func le32(vs []uint32) []byte {
	var b []byte
	for _, v := range vs {
		b = binary.LittleEndian.AppendUint32(b, v)
	}
	return b
}

// node is a window of the tree.
type node struct {
	id       xproto.Window
	parent   *node
	children []*node // bottom to top
	attr     *xproto.GetWindowAttributesReply
	rect     image.Rectangle // root coordinates, without border
	geo      *xproto.GetGeometryReply
}

// tree reads all windows below the root; one that vanishes meanwhile is left out.
func (l *looker) tree() *node {
	root := &node{id: l.c.Screen.Root}
	l.descend(root, 0)
	return root
}

// depthOfInterest is how deep the windows of the daemon can lie.
const depthOfInterest = 5

func (l *looker) descend(n *node, depth int) {
	if depth == depthOfInterest {
		return
	}
	t, err := xproto.QueryTree(l.c.X, n.id).Reply()
	if err != nil {
		return
	}
	attrs := make([]xproto.GetWindowAttributesCookie, len(t.Children))
	geos := make([]xproto.GetGeometryCookie, len(t.Children))
	for i, c := range t.Children {
		attrs[i], geos[i] = xproto.GetWindowAttributes(l.c.X, c), xproto.GetGeometry(l.c.X, xproto.Drawable(c))
	}
	for i, c := range t.Children {
		attr, err := attrs[i].Reply()
		geo, err2 := geos[i].Reply()
		if err != nil || err2 != nil {
			continue
		}
		at := n.rect.Min.Add(image.Pt(int(geo.X)+int(geo.BorderWidth), int(geo.Y)+int(geo.BorderWidth)))
		k := &node{id: c, parent: n, attr: attr, geo: geo, rect: image.Rectangle{at, at.Add(image.Pt(int(geo.Width), int(geo.Height)))}}
		n.children = append(n.children, k)
		if attr.Class == xproto.WindowClassInputOutput {
			l.descend(k, depth+1)
		}
	}
}

// top is the ancestor that is a child of the root.
func (n *node) top() *node {
	for n.parent.parent != nil {
		n = n.parent
	}
	return n
}

// seen is the state of the screen.
type seen struct {
	root    *node
	byID    map[xproto.Window]uint32 // local to remote
	byNum   map[uint32]*node
	windows []Window
	order   []string
	focus   string
}

// mapStates by number.
var mapStates = []string{"unmapped", "unviewable", "viewable"}

// see looks at everything but pixels. named are windows of other clients.
func (l *looker) see(named map[xproto.Window]string, tray xproto.Window) *seen {
	s := &seen{root: l.tree(), byID: map[xproto.Window]uint32{}, byNum: map[uint32]*node{}}
	mark := l.atom("_QUBES_VMWINDOWID")
	var ours []*node
	var walk func(*node)
	walk = func(n *node) {
		for _, k := range n.children {
			if k.attr.Class == xproto.WindowClassInputOutput {
				if vs := l.values(k.id, mark); len(vs) == 1 {
					s.byID[k.id], s.byNum[vs[0]] = vs[0], k
					ours = append(ours, k)
				}
			}
			walk(k)
		}
	}
	walk(s.root)
	for _, n := range ours {
		s.windows = append(s.windows, l.window(s, n, tray))
	}
	slices.SortFunc(s.windows, func(a, b Window) int { return int(int64(a.Remote) - int64(b.Remote)) })
	var order func(*node)
	order = func(n *node) {
		for _, k := range n.children {
			order(k)
			if id, ok := s.byID[k.id]; ok {
				s.order = append(s.order, fmt.Sprintf("remote:%d", id))
			}
		}
		if name, ok := named[n.id]; ok {
			s.order = append(s.order, name)
		}
	}
	order(s.root)
	s.focus = l.focus(s, named, tray)
	return s
}

func (l *looker) focus(s *seen, named map[xproto.Window]string, tray xproto.Window) string {
	r, err := xproto.GetInputFocus(l.c.X).Reply()
	if err != nil {
		return err.Error()
	}
	id, ours := s.byID[r.Focus]
	switch {
	case r.Focus == 0:
		return "none"
	case r.Focus == 1:
		return "pointer-root"
	case r.Focus == l.c.Screen.Root:
		return "root"
	case ours:
		return fmt.Sprintf("remote:%d", id)
	}
	for _, n := range s.root.children {
		if n.id != tray {
			continue
		}
		for _, k := range n.children {
			if k.id == r.Focus {
				return "tray embedder"
			}
		}
	}
	return "other"
}

func (l *looker) window(s *seen, n *node, tray xproto.Window) Window {
	w := Window{
		Remote: s.byID[n.id], MapState: mapStates[n.attr.MapState], RootX: n.rect.Min.X, RootY: n.rect.Min.Y,
		X: int(n.geo.X), Y: int(n.geo.Y), Width: int(n.geo.Width), Height: int(n.geo.Height), Border: int(n.geo.BorderWidth),
		Depth: int(n.geo.Depth), Override: n.attr.OverrideRedirect, InputOutput: n.attr.Class == xproto.WindowClassInputOutput,
		Parent: "root", EventMask: n.attr.AllEventMasks, Properties: map[string]Property{},
	}
	if n.parent.parent != nil {
		top := n.top()
		w.Parent = "wm-frame"
		if top.id == tray {
			w.Parent = "tray embedder"
		}
		w.Outer = &Outer{int(top.geo.X), int(top.geo.Y), int(top.geo.Width), int(top.geo.Height), mapStates[top.attr.MapState]}
	}
	ps, err := xproto.ListProperties(l.c.X, n.id).Reply()
	if err != nil {
		return w
	}
	cookies := make([]xproto.GetPropertyCookie, len(ps.Atoms))
	for i, a := range ps.Atoms {
		cookies[i] = xproto.GetProperty(l.c.X, false, n.id, a, xproto.GetPropertyTypeAny, 0, 1<<20)
	}
	for i, a := range ps.Atoms {
		if r, err := cookies[i].Reply(); err == nil && r.Type != 0 {
			w.Properties[l.name(a)] = l.property(r)
		}
	}
	return w
}

// property decodes a value; windows stay numbers until they are compared.
func (l *looker) property(r *xproto.GetPropertyReply) Property {
	p := Property{Type: l.name(r.Type), Format: int(r.Format)}
	if r.Format != 32 {
		p.Hex = hex.EncodeToString(r.Value)
		return p
	}
	vs := []any{}
	for _, v := range words(r.Value) {
		if p.Type == "ATOM" {
			vs = append(vs, l.name(xproto.Atom(v)))
		} else {
			vs = append(vs, float64(v))
		}
	}
	p.Value = vs
	return p
}

// screenshot is what shows in r, which must lie on the screen, as B, G, R, x.
func (l *looker) screenshot(r image.Rectangle) ([]byte, error) {
	if r.Empty() {
		return nil, nil
	}
	reply, err := xproto.GetImage(l.c.X, xproto.ImageFormatZPixmap, xproto.Drawable(l.c.Screen.Root),
		int16(r.Min.X), int16(r.Min.Y), uint16(r.Dx()), uint16(r.Dy()), 1<<32-1).Reply()
	if err != nil {
		return nil, err
	}
	return reply.Data, nil
}
