package vchantest

import (
	"context"
	"errors"
	"io"
	"time"

	"qubist/core/vchan"
)

func listenThenDial(f *fixture) {
	s, c := f.pair(513)
	f.exchange(s, c)
}

func dialThenListen(f *fixture) {
	result := f.startDial(f.ctx, 514)
	select {
	case d := <-result:
		f.Fatalf("Dial returned (%v, %v) without a server", d.conn, d.err)
	case <-time.After(150 * time.Millisecond):
	}
	s, c := f.connect(f.listen(514), result)
	f.exchange(s, c)
}

func dialCancelled(f *fixture) {
	ctx, cancel := context.WithCancel(f.ctx)
	result := f.startDial(ctx, 515)
	time.AfterFunc(50*time.Millisecond, cancel)
	if d := <-result; !errors.Is(d.err, context.Canceled) {
		f.Fatalf("Dial without a server, cancelled: %v, want context.Canceled", d.err)
	}
	// The attempt left nothing behind that takes the place of a real client.
	s, c := f.pair(515)
	f.exchange(s, c)
}

func acceptCancelled(f *fixture) {
	l := f.listen(516)
	ctx, cancel := context.WithTimeout(f.ctx, 30*time.Millisecond)
	defer cancel()
	if _, err := l.Accept(ctx); !errors.Is(err, context.DeadlineExceeded) {
		f.Fatalf("Accept without a client: %v, want context.DeadlineExceeded", err)
	}
	s, c := f.connect(l, f.startDial(f.ctx, 516))
	f.exchange(s, c)
}

func listenerUsedUp(f *fixture) {
	l := f.listen(517)
	s, c := f.connect(l, f.startDial(f.ctx, 517))
	if _, err := l.Accept(f.ctx); !errors.Is(err, vchan.ErrClosed) {
		f.Fatalf("second Accept: %v, want ErrClosed", err)
	}
	// Nobody can connect to it any more.
	ctx, cancel := context.WithTimeout(f.ctx, 100*time.Millisecond)
	defer cancel()
	if d := <-f.startDial(ctx, 517); !errors.Is(d.err, context.DeadlineExceeded) {
		f.Fatalf("Dial of a used listener: %v, want context.DeadlineExceeded", d.err)
	}
	if err := l.Close(); err != nil {
		f.Errorf("Close of a used listener: %v", err)
	}
	f.exchange(s, c)
}

func listenerClosed(f *fixture) {
	l := f.listen(518)
	time.AfterFunc(30*time.Millisecond, func() { l.Close() })
	if _, err := l.Accept(f.ctx); !errors.Is(err, vchan.ErrClosed) {
		f.Fatalf("Accept of a closed listener: %v, want ErrClosed", err)
	}
	if err := l.Close(); err != nil {
		f.Errorf("second Close: %v", err)
	}
	s, c := f.pair(518)
	f.exchange(s, c)
}

func listenerReplaced(f *fixture) {
	old := f.listen(519)
	waiting := make(chan error, 1)
	go func() {
		_, err := old.Accept(f.ctx)
		waiting <- err
	}()
	l := f.listen(519)
	if err := <-waiting; !errors.Is(err, vchan.ErrClosed) {
		f.Fatalf("Accept of a replaced listener: %v, want ErrClosed", err)
	}
	if err := old.Close(); err != nil {
		f.Errorf("Close of a replaced listener: %v", err)
	}
	s, c := f.connect(l, f.startDial(f.ctx, 519))
	f.exchange(s, c)
}

func portReused(f *fixture) {
	for range 20 {
		s, c := f.pair(520)
		f.exchange(s, c)
		s.Close()
		if _, err := c.Read(make([]byte, 1)); err != io.EOF {
			f.Fatalf("Read after the peer's Close: %v, want EOF", err)
		}
		c.Close()
	}
}
