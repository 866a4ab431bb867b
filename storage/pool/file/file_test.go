package file_test

import (
	"testing"

	"qubist/storage/pool/file"
	"qubist/storage/pool/pooltest"
	"qubist/storage/volume"
)

func TestPool(t *testing.T) {
	pooltest.Run(t, func(t *testing.T, dir string) volume.Pool {
		p, err := file.New("varlibqubes", dir)
		if err != nil {
			t.Fatal(err)
		}
		return p
	})
}
