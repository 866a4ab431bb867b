package libvirt_test

import (
	"testing"
	"time"

	"qubist/core/internal/hypervisor"
	"qubist/core/internal/hypervisor/hvtest"
	"qubist/core/qube"
)

func TestConformance(t *testing.T) {
	b := newBench(t)
	hvtest.Run(t, hvtest.Config{
		Open: func(t *testing.T) hypervisor.Driver { return b.driver() },
		Spec: func(t *testing.T, n qube.Name, xid qube.DomID) hypervisor.Spec { return b.spec(n, xid, "service", "") },
		Wait: time.Minute,
	})
}
