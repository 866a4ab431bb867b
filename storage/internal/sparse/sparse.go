// Package sparse copies files that are mostly holes, as disk images are: by sharing blocks
// where the file system can (reflink), else data extent by data extent. It also holds the
// steps that make a replacement durable. It knows nothing of volumes.
package sparse

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// chunk is how much is copied between two looks at the context.
const chunk = 8 << 20

// zeroBlock is the granularity in which zeros of a stream become holes.
const zeroBlock = 64 << 10

// CopyFile makes dst, which must not exist, with the content of src, its holes and mode
// perm. The data is on disk when it returns nil; on error dst is removed.
func CopyFile(ctx context.Context, dst, src string, perm os.FileMode) (err error) {
	in, err := os.Open(src)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(dst, os.O_RDWR|os.O_CREATE|os.O_EXCL, perm)
	if err != nil {
		return err
	}
	defer func() {
		if cerr := out.Close(); err == nil {
			err = cerr
		}
		if err != nil {
			os.Remove(dst)
		}
	}()
	if err := copyContent(ctx, out, in); err != nil {
		return fmt.Errorf("copying %s: %w", src, err)
	}
	return out.Sync()
}

func copyContent(ctx context.Context, out, in *os.File) error {
	if unix.IoctlFileClone(int(out.Fd()), int(in.Fd())) == nil {
		return nil
	}
	info, err := in.Stat()
	if err != nil {
		return err
	}
	if err := out.Truncate(info.Size()); err != nil {
		return err
	}
	for pos := int64(0); pos < info.Size(); {
		start, err := in.Seek(pos, unix.SEEK_DATA)
		if errors.Is(err, unix.ENXIO) {
			return nil // a hole up to the end
		}
		if err != nil {
			return err
		}
		end, err := in.Seek(start, unix.SEEK_HOLE)
		if err != nil {
			return err
		}
		if err := copyExtent(ctx, out, in, start, end); err != nil {
			return err
		}
		pos = end
	}
	return nil
}

func copyExtent(ctx context.Context, out, in *os.File, start, end int64) error {
	if _, err := in.Seek(start, io.SeekStart); err != nil {
		return err
	}
	if _, err := out.Seek(start, io.SeekStart); err != nil {
		return err
	}
	for left := end - start; left > 0; {
		if err := ctx.Err(); err != nil {
			return err
		}
		n, err := io.CopyN(out, in, min(left, chunk))
		if err != nil {
			return err
		}
		left -= n
	}
	return nil
}

// Write copies exactly size bytes of r to the start of f, whose length becomes size;
// blocks of zeros become holes. f must be empty. A short stream is io.ErrUnexpectedEOF.
func Write(ctx context.Context, f *os.File, r io.Reader, size int64) error {
	if err := f.Truncate(size); err != nil {
		return err
	}
	buf := make([]byte, zeroBlock)
	for pos := int64(0); pos < size; {
		if err := ctx.Err(); err != nil {
			return err
		}
		b := buf[:min(size-pos, zeroBlock)]
		if _, err := io.ReadFull(r, b); err != nil {
			if errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			return err
		}
		if !zero(b) {
			if _, err := f.WriteAt(b, pos); err != nil {
				return err
			}
		}
		pos += int64(len(b))
	}
	return nil
}

func zero(b []byte) bool {
	for _, c := range b {
		if c != 0 {
			return false
		}
	}
	return true
}

// Usage is the number of bytes that the file at path occupies.
func Usage(path string) (int64, error) {
	var st unix.Stat_t
	if err := unix.Lstat(path, &st); err != nil {
		return 0, &os.PathError{Op: "lstat", Path: path, Err: err}
	}
	return st.Blocks * 512, nil
}

// Links is the number of names that the file at path has.
func Links(path string) (uint64, error) {
	var st unix.Stat_t
	if err := unix.Lstat(path, &st); err != nil {
		return 0, &os.PathError{Op: "lstat", Path: path, Err: err}
	}
	return uint64(st.Nlink), nil
}

// Free is the number of bytes an unprivileged writer may still put below dir.
func Free(dir string) (int64, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return 0, &os.PathError{Op: "statfs", Path: dir, Err: err}
	}
	return int64(st.Bavail) * st.Bsize, nil
}

// Sync brings a file or directory to disk.
func Sync(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := f.Sync(); err != nil {
		return fmt.Errorf("syncing %s: %w", path, err)
	}
	return nil
}

// Replace renames from to to, in the same file system, and makes the rename durable. The
// caller has synced the content.
func Replace(from, to string) error {
	if err := os.Rename(from, to); err != nil {
		return err
	}
	return Sync(filepath.Dir(to))
}

// Digest is a checksum of a file with holes that reads only its data: "sha256-sparse:" and
// the SHA-256 over each 64 KiB block that is not all zero, preceded by its offset as 8
// bytes little endian, and last the size in the same form.
func Digest(path string) (digest string, size int64, err error) {
	f, err := os.Open(path)
	if err != nil {
		return "", 0, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return "", 0, err
	}
	size = info.Size()
	h := sha256.New()
	buf := make([]byte, zeroBlock)
	for pos := int64(0); pos < size; {
		data, err := f.Seek(pos, unix.SEEK_DATA)
		if errors.Is(err, unix.ENXIO) {
			break
		}
		if err != nil {
			return "", 0, err
		}
		pos = data / zeroBlock * zeroBlock
		b := buf[:min(size-pos, zeroBlock)]
		if _, err := f.ReadAt(b, pos); err != nil {
			return "", 0, fmt.Errorf("reading %s: %w", path, err)
		}
		if !zero(b) {
			h.Write(binary.LittleEndian.AppendUint64(nil, uint64(pos)))
			h.Write(b)
		}
		pos += int64(len(b))
	}
	h.Write(binary.LittleEndian.AppendUint64(nil, uint64(size)))
	return "sha256-sparse:" + hex.EncodeToString(h.Sum(nil)), size, nil
}
