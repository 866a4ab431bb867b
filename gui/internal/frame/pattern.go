package frame

import "image"

// pattern is how a border line is broken up: alternating on and off lengths in pixels at
// 96 dpi along the edge, each row shifted by slant against the one outside it. An empty
// run list leaves the border plain.
type pattern struct {
	runs  []int
	slant int
	rows  [borderSize]bool // from the outer edge inwards; the outermost stays plain
}

var (
	middle = [borderSize]bool{1: true}
	inner  = [borderSize]bool{1: true, 2: true}
)

// patterns belong to the labels 1 to 8; others take them in turn.
var patterns = [...]pattern{
	{},                                 // red: plain
	{runs: []int{10, 6}, rows: middle}, // orange: dashes
	{runs: []int{2, 4}, rows: middle},  // yellow: dots
	{runs: []int{4, 4}, slant: 2, rows: inner}, // green: stripes
	{runs: []int{10, 4, 2, 4}, rows: middle},   // gray: dash, dot
	{runs: []int{1, 0}, rows: middle},          // blue: a line
	{runs: []int{3, 13}, rows: inner},          // purple: ticks
	{runs: []int{28, 8}, rows: middle},         // black: long dashes
}

// Pattern lists the rectangles of the accent colour in a frame of the given size.
func (f *Frame) Pattern(size image.Point) []image.Rectangle {
	if f.Label < 1 {
		return nil
	}
	p := patterns[(f.Label-1)%len(patterns)]
	if len(p.runs) == 0 {
		return nil
	}
	var rs []image.Rectangle
	row := max(1, f.Border/borderSize)
	for i, on := range p.rows {
		if !on {
			continue
		}
		at, shift := i*row, i*f.scaled(float64(p.slant))
		for _, run := range f.cut(p, shift, at, size.X-at) {
			rs = append(rs, image.Rect(run[0], at, run[1], at+row),
				image.Rect(run[0], size.Y-at-row, run[1], size.Y-at))
		}
		for _, run := range f.cut(p, shift, at, size.Y-at) {
			rs = append(rs, image.Rect(at, run[0], at+row, run[1]),
				image.Rect(size.X-at-row, run[0], size.X-at, run[1]))
		}
	}
	return rs
}

// cut returns the on runs of p between from and to, shifted back by shift.
func (f *Frame) cut(p pattern, shift, from, to int) (runs [][2]int) {
	for x, i := -shift, 0; x < to; i++ {
		n := max(1, f.scaled(float64(p.runs[i%len(p.runs)])))
		if start, end := max(x, from), min(x+n, to); i%2 == 0 && start < end {
			runs = append(runs, [2]int{start, end})
		}
		x += n
	}
	return runs
}
