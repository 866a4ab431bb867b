package libvirt

import (
	"fmt"
	"sync"

	"libvirt.org/go/libvirt"
)

// libvirt has one event loop per process, and connections opened before it is registered
// get no events. loop runs it while at least one driver needs it: the one piece of global
// state here, because it is global in the library.
var loop eventLoop

type eventLoop struct {
	once sync.Once
	err  error // of the registration

	mu    sync.Mutex
	users int
	stop  chan struct{}
	done  chan struct{}
	timer int
}

// acquire starts the loop unless it runs.
func (l *eventLoop) acquire() error {
	l.once.Do(func() { l.err = libvirt.EventRegisterDefaultImpl() })
	if l.err != nil {
		return fmt.Errorf("starting libvirt's event loop: %w", l.err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.users++; l.users > 1 {
		return nil
	}
	// An iteration ends only with an event: the timer is the event that release sends.
	timer, err := libvirt.EventAddTimeout(-1, func(int) {})
	if err != nil {
		l.users--
		return fmt.Errorf("starting libvirt's event loop: %w", err)
	}
	l.timer, l.stop, l.done = timer, make(chan struct{}), make(chan struct{})
	go run(l.stop, l.done)
	return nil
}

func run(stop <-chan struct{}, done chan<- struct{}) {
	defer close(done)
	for {
		select {
		case <-stop:
			return
		default:
			libvirt.EventRunDefaultImpl() // an error is one failed poll: the next may work
		}
	}
}

// release ends the loop with its last user and waits for it.
func (l *eventLoop) release() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.users--; l.users > 0 {
		return
	}
	close(l.stop)
	libvirt.EventUpdateTimeout(l.timer, 0)
	<-l.done
	libvirt.EventRemoveTimeout(l.timer)
}
