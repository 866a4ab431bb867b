package vchantest

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"sync"
	"time"

	"qubist/core/vchan"
)

// exchange proves that s and c are the two ends of one vchan.
func (f *fixture) exchange(s, c vchan.Conn) {
	f.Helper()
	for _, way := range [][2]vchan.Conn{{s, c}, {c, s}} {
		msg := []byte(fmt.Sprintf("token %d", rand.Uint64()))
		if _, err := way[0].Write(msg); err != nil {
			f.Fatalf("Write: %v", err)
		}
		got := make([]byte, len(msg))
		if _, err := io.ReadFull(way[1], got); err != nil || !bytes.Equal(got, msg) {
			f.Fatalf("read %q, %v; want %q", got, err, msg)
		}
	}
}

func eofAfterData(f *fixture) {
	s, c := f.pair(530)
	want := bytes.Repeat([]byte("last words "), 3000)
	if _, err := s.Write(want); err != nil {
		f.Fatalf("Write: %v", err)
	}
	s.Close()
	got, err := io.ReadAll(c)
	if err != nil || !bytes.Equal(got, want) {
		f.Fatalf("read %d bytes, %v; want %d bytes and EOF", len(got), err, len(want))
	}
	if n, err := c.Read(make([]byte, 1)); n != 0 || err != io.EOF {
		f.Errorf("Read after EOF: %d, %v", n, err)
	}
}

// closeFlushes closes at once after a write that no buffer on the way holds whole.
func closeFlushes(f *fixture) {
	s, c := f.pair(531)
	want := random(3 << 20)
	sum := make(chan []byte, 1)
	go func() {
		time.Sleep(20 * time.Millisecond) // let the writer fill the buffers
		got, _ := io.ReadAll(c)
		sum <- got
	}()
	if _, err := s.Write(want); err != nil {
		f.Fatalf("Write: %v", err)
	}
	if err := s.Close(); err != nil {
		f.Fatalf("Close: %v", err)
	}
	if got := <-sum; !bytes.Equal(got, want) {
		f.Fatalf("peer read %d bytes of %d written before Close", len(got), len(want))
	}
}

func closeTwice(f *fixture) {
	s, c := f.pair(532)
	for _, conn := range []vchan.Conn{s, c, s, c} {
		if err := conn.Close(); err != nil {
			f.Errorf("Close: %v", err)
		}
	}
}

func useAfterClose(f *fixture) {
	s, _ := f.pair(533)
	s.Close()
	if _, err := s.Read(make([]byte, 1)); !errors.Is(err, vchan.ErrClosed) {
		f.Errorf("Read after Close: %v, want ErrClosed", err)
	}
	if _, err := s.Write([]byte{1}); !errors.Is(err, vchan.ErrClosed) {
		f.Errorf("Write after Close: %v, want ErrClosed", err)
	}
}

func writeToGonePeer(f *fixture) {
	s, c := f.pair(534)
	c.Close()
	s.SetDeadline(time.Now().Add(patience))
	buf := make([]byte, 4096)
	for {
		if _, err := s.Write(buf); errors.Is(err, os.ErrDeadlineExceeded) {
			f.Fatal("Write to a peer that closed still waits")
		} else if err != nil {
			break
		}
	}
	if _, err := s.Read(buf); err != io.EOF {
		f.Errorf("Read: %v, want EOF", err)
	}
}

func closeUnblocksReader(f *fixture) {
	s, c := f.pair(535)
	result := make(chan error, 2)
	for _, conn := range []vchan.Conn{s, c} {
		go func() {
			_, err := conn.Read(make([]byte, 1))
			result <- err
		}()
	}
	time.Sleep(20 * time.Millisecond) // both are in Read now, or the test is only easier
	s.Close()
	for range 2 {
		if err := <-result; !errors.Is(err, vchan.ErrClosed) && err != io.EOF {
			f.Errorf("Read during Close: %v, want ErrClosed or EOF", err)
		}
	}
}

func deadlines(f *fixture) {
	s, c := f.pair(536)
	s.SetReadDeadline(time.Now().Add(20 * time.Millisecond))
	if _, err := s.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
		f.Errorf("Read: %v, want ErrDeadlineExceeded", err)
	}
	s.SetWriteDeadline(time.Now().Add(200 * time.Millisecond))
	if _, err := s.Write(make([]byte, 64<<20)); !errors.Is(err, os.ErrDeadlineExceeded) {
		f.Errorf("Write to a peer that does not read: %v, want ErrDeadlineExceeded", err)
	}
	if err := s.SetDeadline(time.Time{}); err != nil {
		f.Errorf("SetDeadline: %v", err)
	}
	if _, err := c.Write([]byte("x")); err != nil {
		f.Errorf("Write: %v", err)
	}
	if _, err := io.ReadFull(s, make([]byte, 1)); err != nil {
		f.Errorf("Read after the deadline was lifted: %v", err)
	}
}

func largeBothWays(f *fixture) {
	s, c := f.pair(537)
	f.bothWays(s, c, 8<<20)
}

func parallel(f *fixture) {
	var all sync.WaitGroup
	for i := range 16 {
		s, c := f.pair(540 + vchan.Port(i))
		all.Go(func() { f.bothWays(s, c, 256<<10) })
	}
	all.Wait()
}

// bothWays sends n random bytes each way at once and compares. It may run outside the
// test's goroutine.
func (f *fixture) bothWays(s, c vchan.Conn, n int) {
	var all sync.WaitGroup
	for _, way := range [][2]vchan.Conn{{s, c}, {c, s}} {
		want := random(n)
		all.Go(func() {
			if _, err := way[0].Write(want); err != nil {
				f.Errorf("Write: %v", err)
			}
		})
		all.Go(func() {
			got := make([]byte, n)
			if _, err := io.ReadFull(way[1], got); err != nil || !bytes.Equal(got, want) {
				f.Errorf("received bytes differ (%v)", err)
			}
		})
	}
	all.Wait()
}

// stalled fills one vchan whose peer does not read, and uses another one meanwhile.
func stalled(f *fixture) {
	s, c := f.pair(538)
	var writer sync.WaitGroup
	writer.Go(func() { s.Write(make([]byte, 32<<20)) })
	s2, c2 := f.pair(539)
	f.bothWays(s2, c2, 1<<20)
	f.exchange(s2, c2)
	c.Close()
	writer.Wait()
}

func random(n int) []byte {
	b := make([]byte, n)
	src := rand.NewChaCha8([32]byte{byte(n)})
	src.Read(b)
	return b
}
