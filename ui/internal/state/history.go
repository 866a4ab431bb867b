package state

// samples is how many statistics reports are kept for the small curves: 3 s each.
const samples = 40

// Trend is the recent past of active qubes' memory and CPU.
type Trend struct {
	mem, cpu map[string][]uint64
}

// NewTrend is empty.
func NewTrend() Trend { return Trend{mem: map[string][]uint64{}, cpu: map[string][]uint64{}} }

// Observe adds what s says, one sample for each active qube, and forgets the others.
func (t *Trend) Observe(s System) {
	mem, cpu := make(map[string][]uint64, len(t.mem)), make(map[string][]uint64, len(t.cpu))
	for _, q := range s.Qubes {
		if q.Phase.Active() && q.MemKiB > 0 {
			mem[q.Name] = push(t.mem[q.Name], q.MemKiB)
			cpu[q.Name] = push(t.cpu[q.Name], uint64(max(q.CPU, 0)))
		}
	}
	t.mem, t.cpu = mem, cpu
}

func push(v []uint64, x uint64) []uint64 {
	v = append(v, x)
	return v[max(len(v)-samples, 0):]
}

// Memory are the recent KiB of the named qube, oldest first.
func (t *Trend) Memory(name string) []uint64 { return t.mem[name] }

// CPU are the recent percents of the named qube, oldest first.
func (t *Trend) CPU(name string) []uint64 { return t.cpu[name] }
