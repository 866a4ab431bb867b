package virtio_test

import (
	"context"
	"testing"
	"time"

	"qubist/core/vchan"
	"qubist/core/vchan/link/linktest"
	"qubist/core/vchan/vchantest"
)

func vmServesDom0(t testing.TB) vchantest.Pair {
	w := linktest.NewWorld(t)
	w.AddVM(3)
	return vchantest.Pair{Server: w.VM(3), Client: w.Dom0()}
}

func dom0ServesVM(t testing.TB) vchantest.Pair {
	w := linktest.NewWorld(t)
	w.AddVM(3)
	return vchantest.Pair{Server: w.Dom0(), Client: w.VM(3)}
}

func vmServesVM(t testing.TB) vchantest.Pair {
	w := linktest.NewWorld(t)
	w.AddVM(3)
	w.AddVM(4)
	dom0 := w.Dom0()
	return vchantest.Pair{Server: w.VM(3), Client: w.VM(4), Allow: func(t testing.TB, port vchan.Port) {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := dom0.Grant(ctx, 4, 3, port); err != nil {
			t.Fatal(err)
		}
	}}
}

func TestConformanceVMServesDom0(t *testing.T) { vchantest.Run(t, vmServesDom0) }
func TestConformanceDom0ServesVM(t *testing.T) { vchantest.Run(t, dom0ServesVM) }
func TestConformanceVMServesVM(t *testing.T)   { vchantest.Run(t, vmServesVM) }

func BenchmarkVMServesDom0(b *testing.B) { vchantest.Bench(b, vmServesDom0) }
func BenchmarkVMServesVM(b *testing.B)   { vchantest.Bench(b, vmServesVM) }
