package vchantest

import (
	"context"
	"io"
	"sync"
	"testing"
)

// Bench measures a driver: one way throughput and the round trip of one byte.
func Bench(b *testing.B, open func(t testing.TB) Pair) {
	b.Run("Stream", func(b *testing.B) {
		f := &fixture{TB: b, Pair: open(b), ctx: context.Background()}
		s, c := f.pair(513)
		buf := make([]byte, 64<<10)
		b.SetBytes(int64(len(buf)))
		var sink sync.WaitGroup
		sink.Go(func() { io.Copy(io.Discard, struct{ io.Reader }{c}) })
		b.ResetTimer()
		for range b.N {
			if _, err := s.Write(buf); err != nil {
				b.Fatal(err)
			}
		}
		s.Close()
		sink.Wait()
	})
	b.Run("RoundTrip", func(b *testing.B) {
		f := &fixture{TB: b, Pair: open(b), ctx: context.Background()}
		s, c := f.pair(513)
		var echo sync.WaitGroup
		echo.Go(func() {
			buf := make([]byte, 1)
			for {
				if _, err := io.ReadFull(c, buf); err != nil {
					return
				}
				c.Write(buf)
			}
		})
		buf := make([]byte, 1)
		b.ResetTimer()
		for range b.N {
			s.Write(buf)
			if _, err := io.ReadFull(s, buf); err != nil {
				b.Fatal(err)
			}
		}
		b.StopTimer()
		s.Close()
		echo.Wait()
	})
}
