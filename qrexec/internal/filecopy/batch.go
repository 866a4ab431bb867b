package filecopy

import (
	"runtime"
	"sync"
	"sync/atomic"

	"qubist/qrexec/internal/filecopy/wire"
)

// Small files that have arrived whole are made in batches: their contents are written by
// several threads, then they get their names one after the other, in the stream's order.
// So an error leaves exactly what it would have left without batches. Nothing stays in a
// batch while the reader waits for input.
const (
	batchFiles = 64       // files in a batch; each holds two descriptors
	smallFile  = 64 << 10 // bytes
)

// job is one file of a batch. name and data lie in the reader's buffer.
type job struct {
	h             wire.Header
	name, data    []byte
	before, after uint32 // the stream's checksum without and with the data
	f             *file
	err           error
}

// batch are the files that wait for their names.
type batch struct {
	t      *tree
	jobs   []job
	failed *failure // the first error, for good
}

// possible reports whether files may be batched: there is a second processor, and files
// are made without a name.
func (b *batch) possible() bool { return b.t.unnamed && runtime.GOMAXPROCS(0) > 1 }

// add appends a file and makes the batch when it is full.
func (b *batch) add(j job) error {
	b.jobs = append(b.jobs, j)
	if len(b.jobs) < batchFiles {
		return nil
	}
	return b.flush()
}

// flush makes all files of the batch. After an error it returns that error for ever.
func (b *batch) flush() error {
	if b.failed == nil && len(b.jobs) > 0 {
		b.prepare()
		for i := range b.jobs {
			j := &b.jobs[i]
			if j.err == nil && b.failed == nil {
				j.err = j.f.link(j.h)
			}
			if j.err != nil && b.failed == nil {
				b.failed = j.failure()
			}
			if j.f != nil {
				j.f.close()
			}
		}
	}
	clear(b.jobs)
	b.jobs = b.jobs[:0]
	if b.failed == nil {
		return nil
	}
	return b.failed
}

// prepare writes the contents, in several threads when that pays.
func (b *batch) prepare() {
	var next atomic.Int64
	work := func() {
		for {
			i := int(next.Add(1)) - 1
			if i >= len(b.jobs) {
				return
			}
			b.jobs[i].make(b.t)
		}
	}
	var wg sync.WaitGroup
	for range min(runtime.GOMAXPROCS(0), 1+len(b.jobs)/8) - 1 {
		wg.Go(work)
	}
	work()
	wg.Wait()
}

// make creates the file and fills it.
func (j *job) make(t *tree) {
	if j.f, j.err = t.create(j.name); j.err != nil {
		j.after = j.before // one after the other, the data would not have been read
		return
	}
	if j.err = j.f.write(j.data); j.err == nil {
		j.err = j.f.finish(j.h)
	}
}

// failure is the job's error with what the answer needs.
func (j *job) failure() *failure {
	f := asFailure(j.err)
	if f.name == nil {
		f.name = append([]byte{}, j.name...)
	}
	sum := j.after
	f.sum = &sum
	return f
}
