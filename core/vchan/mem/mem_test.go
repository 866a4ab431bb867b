package mem_test

import (
	"testing"

	"qubist/core/vchan/mem"
	"qubist/core/vchan/vchantest"
)

func open(testing.TB) vchantest.Pair {
	n := mem.New()
	return vchantest.Pair{Server: n.Domain(7), Client: n.Domain(0)}
}

func TestConformance(t *testing.T)      { vchantest.Run(t, open) }
func BenchmarkConformance(b *testing.B) { vchantest.Bench(b, open) }
