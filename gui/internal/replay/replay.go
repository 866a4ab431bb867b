package replay

import (
	"fmt"
	"testing"
	"time"

	"github.com/BurntSushi/xgb/xproto"
)

func xWindow(n float64) xproto.Window { return xproto.Window(uint32(n)) }

// again is how long a step that differs is looked at again: what is on its way may arrive.
const again = 400 * time.Millisecond

// Mismatch is the first step of a conversation at which ours is not as recorded.
type Mismatch struct {
	Step        int
	Text        string
	Differences []string
	Log         string // of the daemon
}

func (m *Mismatch) String() string {
	s := fmt.Sprintf("step %d (%s)", m.Step, m.Text)
	for _, d := range m.Differences {
		s += "\n\t" + d
	}
	return s
}

// Accept says whether a difference at a step is one we want, or the recordings' own.
type Accept func(c *Conversation, step int, key, want, have string) bool

// Play replays one conversation against the program bin; nil is agreement.
func Play(t testing.TB, bin string, c *Conversation, accept Accept) *Mismatch {
	t.Helper()
	s := newStage(t, c)
	defer s.end()
	s.servePolicy(s.policyPath())
	s.startDaemon(bin)
	s.settle()
	for i := range c.Steps {
		st := &c.Steps[i]
		if err := s.perform(st); err != nil {
			if _, ended := st.exit(); !ended {
				return &Mismatch{i, st.Text(), []string{err.Error()}, s.log.String()}
			}
		}
		if left := s.stepDiffers(c, i, accept); len(left) > 0 {
			return &Mismatch{i, st.Text(), left, s.log.String()}
		}
	}
	return nil
}

// stepDiffers compares until it agrees or patience ends, and returns what is left.
func (s *stage) stepDiffers(c *Conversation, i int, accept Accept) []string {
	st := &c.Steps[i]
	deadline := time.Now().Add(again)
	for {
		s.settle()
		var left []string
		for _, d := range s.compare(st, false) {
			if !accept(c, i, d.Key, d.Want, d.Have) {
				left = append(left, d.String())
			}
		}
		if len(left) == 0 || time.Now().After(deadline) {
			s.compare(st, true)
			return left
		}
		time.Sleep(10 * time.Millisecond)
	}
}
