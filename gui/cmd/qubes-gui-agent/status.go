package main

import (
	"log/slog"
	"net"
	"os"

	"qubist/gui/internal/agent"
)

// status publishes the agent's state: in a file as upstream does, and to the service
// manager once the X server can be used.
type status struct {
	path string
	log  *slog.Logger
}

func newStatus(path string, log *slog.Logger) *status { return &status{path, log} }

func (s *status) tell(state string) {
	if state == agent.StateStarted {
		notifyReady(s.log)
	}
	if s.path == "" {
		return
	}
	next := s.path + ".new"
	err := os.WriteFile(next, []byte(state+"\n"), 0o644)
	if err == nil {
		err = os.Rename(next, s.path)
	}
	if err != nil {
		s.log.Warn("state not published", "err", err)
	}
}

func (s *status) remove() {
	if s.path != "" {
		os.Remove(s.path)
	}
}

// notifyReady tells systemd that the service is up (sd_notify(3)); elsewhere it does
// nothing.
func notifyReady(log *slog.Logger) {
	path := os.Getenv("NOTIFY_SOCKET")
	if path == "" {
		return
	}
	conn, err := net.Dial("unixgram", path)
	if err == nil {
		_, err = conn.Write([]byte("READY=1"))
		conn.Close()
	}
	if err != nil {
		log.Warn("service manager not told", "err", err)
	}
}
