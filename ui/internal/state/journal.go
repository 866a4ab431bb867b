package state

import (
	"slices"
	"time"
)

// Grade says how loud a message is.
type Grade int

// The grades.
const (
	Info Grade = iota
	Done
	Warn
	Bad
)

// Note is something told to the user, in full sentences.
type Note struct {
	At       time.Time
	Grade    Grade
	What     string // "work did not start"
	Evidence string // what the system said about it
	Next     string // what to press or try
	Command  string // the command line of the same effect, "" when there is none
	Call     string // the Admin API call it made
	Offer    string // the key that takes it back, and the word for it: "u undo"
}

// Task is an action on its way.
type Task struct {
	ID      int
	Doing   string // "starting work"
	Qube    string // the qube it is about, "" for none
	Phase   string // what to show in that qube's row: "starting"
	Command string
	Since   time.Time
}

// journalCap bounds the notes kept.
const journalCap = 200

// Journal holds the running tasks and what was told, newest last.
type Journal struct {
	Tasks []Task
	Notes []Note
	next  int
}

// Begin adds a running task and gives its number.
func (j *Journal) Begin(t Task) int {
	j.next++
	t.ID = j.next
	j.Tasks = append(slices.Clip(j.Tasks), t)
	return t.ID
}

// End removes a task and returns it.
func (j *Journal) End(id int) (Task, bool) {
	i := slices.IndexFunc(j.Tasks, func(t Task) bool { return t.ID == id })
	if i < 0 {
		return Task{}, false
	}
	t := j.Tasks[i]
	j.Tasks = append(slices.Clone(j.Tasks[:i]), j.Tasks[i+1:]...)
	return t, true
}

// Tell adds a note. The same words again take the place of the last note.
func (j *Journal) Tell(n Note) {
	if k := len(j.Notes); k > 0 {
		last := j.Notes[k-1]
		last.At = n.At
		if last == n {
			j.Notes[k-1] = n
			return
		}
	}
	j.Notes = append(j.Notes, n)
	if len(j.Notes) > journalCap {
		j.Notes = slices.Clone(j.Notes[len(j.Notes)-journalCap:])
	}
}

// Last is the newest note.
func (j *Journal) Last() (Note, bool) {
	if len(j.Notes) == 0 {
		return Note{}, false
	}
	return j.Notes[len(j.Notes)-1], true
}

// Busy is the task about the named qube, if one runs.
func (j *Journal) Busy(name string) (Task, bool) {
	for _, t := range j.Tasks {
		if t.Qube == name {
			return t, true
		}
	}
	return Task{}, false
}
