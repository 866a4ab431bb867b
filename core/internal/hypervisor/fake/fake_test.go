package fake_test

import (
	"path/filepath"
	"testing"
	"time"

	"qubist/core/internal/hypervisor"
	"qubist/core/internal/hypervisor/fake"
	"qubist/core/internal/hypervisor/hvtest"
	"qubist/core/qube"
)

func TestConformance(t *testing.T) {
	file := filepath.Join(t.TempDir(), "domains")
	hvtest.Run(t, hvtest.Config{
		Obeys: true,
		Wait:  5 * time.Second,
		Open: func(t *testing.T) hypervisor.Driver {
			d, err := fake.Open(file)
			if err != nil {
				t.Fatal(err)
			}
			return d
		},
		Spec: func(_ *testing.T, n qube.Name, xid qube.DomID) hypervisor.Spec {
			return hypervisor.Spec{Name: n, UUID: "1d1d1d1d-0000-4000-8000-000000000000", XID: xid, MemoryMiB: 64, VCPUs: 1}
		},
	})
}
