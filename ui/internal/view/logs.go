package view

import (
	"fmt"

	"qubist/ui/internal/state"
	"qubist/ui/internal/theme"
	"qubist/ui/internal/widget"
)

// Logs is the merged log; the chosen line is shown whole below.
type Logs struct {
	Lines   []state.LogLine
	Find    string
	Follow  bool
	Dropped int
	At, Top int
	Waiting string
}

// logText is how many lines the chosen one gets.
const logText = 4

// LogRows is how many lines fit into r.
func LogRows(r Rect) int { return max(r.H-logText-1, 1) }

// Draw fills r.
func (v Logs) Draw(p Paint, r Rect) {
	if len(v.Lines) == 0 {
		p.sentence(r, v.Waiting)
		return
	}
	rows := LogRows(r)
	who := 12
	for i := 0; i < rows && v.Top+i < len(v.Lines); i++ {
		who = max(who, min(widget.Cells(source(v.Lines[v.Top+i])), r.W/3))
	}
	for i := 0; i < rows && v.Top+i < len(v.Lines); i++ {
		l := v.Lines[v.Top+i]
		y := r.Y + i
		p.C.Put(r.X+1, y, 8, p.clock(l.At.In(p.Now.Location())), p.T.Dim)
		p.C.Put(r.X+11, y, who, source(l), p.T.Accent)
		p.C.Put(r.X+13+who, y, 1, levelMark(l.Level), levelStyle(p, l.Level))
		p.C.Put(r.X+15+who, y, r.W-16-who, l.Text, levelStyle(p, l.Level))
		if v.Top+i == v.At {
			p.C.Tint(r.X, y, r.W, p.T.Cursor)
		}
	}
	p.C.Fill(r.X, r.Y+rows, r.W, 1, '─', p.T.Rule)
	words := ""
	if v.Follow {
		words = "following"
	}
	if v.Find != "" {
		words += " /" + v.Find
	}
	if v.Dropped > 0 {
		words += fmt.Sprintf(" %d older lines let go", v.Dropped)
	}
	p.C.Put(r.X+2, r.Y+rows, r.W/2, orSpace(words), p.T.Accent)
	p.C.PutRight(r.X+r.W-2, r.Y+rows, r.W/2, fmt.Sprintf(" %d of %d ", v.At+1, len(v.Lines)), p.T.Accent)
	if v.At < len(v.Lines) {
		for i, l := range widget.Wrap(v.Lines[v.At].Text, r.W-2, logText) {
			p.C.Put(r.X+1, r.Y+rows+1+i, r.W-2, l, p.T.Text)
		}
	}
}

func orSpace(s string) string {
	if s == "" {
		return ""
	}
	return " " + s + " "
}

// source names where a line is from.
func source(l state.LogLine) string {
	if l.Qube == "" {
		return l.Program
	}
	return l.Qube + " " + l.Program
}

// levelMark and levelStyle tell warnings and errors from the rest.
func levelMark(level string) string {
	return map[string]string{"WARN": "!", "ERROR": "✗"}[level]
}

func levelStyle(p Paint, level string) theme.Style {
	switch level {
	case "ERROR":
		return p.T.Bad
	case "WARN":
		return p.T.Warn
	case "DEBUG":
		return p.T.Dim
	}
	return p.T.Text
}
