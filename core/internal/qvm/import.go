package qvm

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"qubist/core/adminclient"
	"qubist/core/paths"
)

func volumeImport(ctx context.Context, t *tool, args []string) error {
	vm, name, rest, err := t.volumeArg(ctx, args, 1, 1)
	if err != nil {
		return err
	}
	return t.importFile(ctx, vm, name, rest[0], !t.has("no-resize"))
}

// importFile replaces a volume's contents by a file's: qubesd names a place, we copy, and
// qubesd takes the copy over (spec admin-api.md §5).
func (t *tool) importFile(ctx context.Context, vm, name, file string, resize bool) error {
	src, size, err := t.openImport(file)
	if err != nil {
		return fmt.Errorf("importing %s: %w", file, err)
	}
	defer src.Close()
	payload := ""
	switch {
	case t.has("size"):
		n, err := parseSize(t.get("size"))
		if err != nil {
			return err
		}
		payload = strconv.FormatUint(n, 10)
	case resize && size >= 0:
		payload = strconv.FormatInt(size, 10)
	}
	p, err := paths.New(t.root)
	if err != nil {
		return err
	}
	c := adminclient.New(p.QubesdInternalSocket())
	answer, err := c.Call(ctx, "internal.vm.volume.ImportBegin", vm, name, []byte(payload))
	if err != nil {
		return err
	}
	status := "ok"
	cerr := copyImport(string(answer), src)
	if cerr != nil {
		status = "fail\n" + strings.ToValidUTF8(cerr.Error(), "_")
	}
	_, err = c.Call(context.WithoutCancel(ctx), "internal.vm.volume.ImportEnd", vm, name, []byte(status))
	return cmpErr(cerr, err)
}

func cmpErr(a, b error) error {
	if a != nil {
		return a
	}
	return b
}

// openImport opens a file and gives its size, -1 when it has none ahead of reading.
func (t *tool) openImport(file string) (io.ReadCloser, int64, error) {
	if file == "-" {
		return io.NopCloser(t.Stdin), -1, nil
	}
	f, err := os.Open(file)
	if err != nil {
		return nil, 0, err
	}
	size, err := f.Seek(0, io.SeekEnd) // also right for block devices
	if err != nil {
		return f, -1, nil
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		f.Close()
		return nil, 0, err
	}
	return f, size, nil
}

// copyImport copies what place, "SIZE PATH", asks for, leaving holes for zeros.
func copyImport(place string, src io.Reader) error {
	number, path, ok := strings.Cut(place, " ")
	want, err := strconv.ParseInt(number, 10, 64)
	if !ok || err != nil || want < 0 {
		return fmt.Errorf("cannot read where to import to: %.80q", place)
	}
	dst, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return fmt.Errorf("opening the import: %w", err)
	}
	defer dst.Close()
	buf := make([]byte, 128<<10)
	var done int64
	for done < want {
		n, err := io.ReadFull(src, buf[:min(int64(len(buf)), want-done)])
		if !zero(buf[:n]) {
			if _, err := dst.WriteAt(buf[:n], done); err != nil {
				return fmt.Errorf("copying: %w", err)
			}
		}
		done += int64(n)
		switch {
		case errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF):
			return fmt.Errorf("not enough data (copied %d bytes, expected %d bytes)", done, want)
		case err != nil:
			return fmt.Errorf("copying: %w", err)
		}
	}
	if n, _ := io.ReadFull(src, buf[:1]); n > 0 {
		return fmt.Errorf("too much data (expected %d bytes)", want)
	}
	return dst.Sync()
}

func zero(b []byte) bool {
	for _, c := range b {
		if c != 0 {
			return false
		}
	}
	return true
}
