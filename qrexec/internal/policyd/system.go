package policyd

import (
	"bytes"
	"context"
	"fmt"
	"sync"

	"qubist/qrexec/policy"
)

// system gives the qubes of this moment. The answer of qubesd is asked for at every
// request but parsed only when it differs from the last one.
type system struct {
	fetch func(context.Context) ([]byte, error)

	mu     sync.Mutex
	data   []byte
	parsed *policy.System
}

func (s *system) get(ctx context.Context) (*policy.System, error) {
	data, err := s.fetch(ctx)
	if err != nil {
		return nil, fmt.Errorf("asking for the qubes: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.parsed != nil && bytes.Equal(data, s.data) {
		return s.parsed, nil
	}
	parsed, err := policy.ParseSystem(data)
	if err != nil {
		return nil, err
	}
	s.data, s.parsed = data, parsed
	return parsed, nil
}
