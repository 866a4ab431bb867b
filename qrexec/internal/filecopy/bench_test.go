package filecopy_test

import (
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"testing"

	"qubist/qrexec/internal/filecopy"
	"qubist/qrexec/internal/filecopy/wire"
)

func crcOf(b []byte) uint32 { return crc32.ChecksumIEEE(b) }

// memory is a directory in RAM, so that nothing waits for a disk.
func memory(b testing.TB) string {
	b.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "filecopy")
	if err != nil {
		b.Skipf("no file system in memory: %v", err)
	}
	b.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// benchmark copies args into fresh directories, sender and receiver over pipes.
func benchmark(b *testing.B, base string, args []string) {
	for i := range b.N {
		dst := filepath.Join(base, fmt.Sprint("dst", i))
		check(b, os.Mkdir(dst, 0o700))
		out, err := transfer(b, args, dst, filecopy.PackOptions{}, profiles["vm"])
		if err != nil || out.Result.Code != wire.OK {
			b.Fatalf("%v, %+v", err, out)
		}
		b.StopTimer()
		check(b, os.RemoveAll(dst))
		b.StartTimer()
	}
}

// BenchmarkBigFile copies 256 MiB from and to memory.
func BenchmarkBigFile(b *testing.B) {
	base := memory(b)
	src := filepath.Join(base, "big")
	check(b, os.WriteFile(src, make([]byte, 256<<20), 0o600))
	b.SetBytes(256 << 20)
	b.ResetTimer()
	benchmark(b, base, []string{src})
}

// BenchmarkSmallFiles copies 5,000 files of 100 bytes in 50 directories.
func BenchmarkSmallFiles(b *testing.B) {
	base := memory(b)
	const dirs, files = 50, 100
	for d := range dirs {
		dir := filepath.Join(base, "src", fmt.Sprint("d", d))
		check(b, os.MkdirAll(dir, 0o700))
		for f := range files {
			check(b, os.WriteFile(filepath.Join(dir, fmt.Sprint("f", f)), make([]byte, 100), 0o600))
		}
	}
	b.ResetTimer()
	benchmark(b, base, []string{filepath.Join(base, "src")})
	b.ReportMetric(float64(b.N)*dirs*files/b.Elapsed().Seconds(), "files/s")
}
