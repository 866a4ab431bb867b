package e2e

import (
	"bytes"
	"crypto/rand"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestFilecopy copies a file and a folder from one VM to another through the real programs.
func TestFilecopy(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.vm(41, "work")
	w.vm(42, "vault")
	home := shortDir(t)
	w.service(42, "qubes.Filecopy", "HOME="+home+" exec "+filepath.Join(bin, "qfile-unpacker")+" ${1:+--$1} 2>>"+w.dir+"/unpacker.log")
	w.allow("vault")

	src := shortDir(t)
	data := make([]byte, 3_000_000)
	if _, err := rand.Read(data); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(src, "file"), string(data), 0o640)
	mkdir(t, src, "folder/sub")
	write(t, filepath.Join(src, "folder/sub/run.sh"), "#!/bin/sh\n", 0o755)
	if err := os.Symlink("sub/run.sh", filepath.Join(src, "folder/link")); err != nil {
		t.Fatal(err)
	}
	copyTo := func(service string, args ...string) int {
		t.Helper()
		_, code := w.clientVM("", 41, append([]string{"vault", service, filepath.Join(bin, "qfile-agent"), "--"}, args...)...)
		return code
	}
	if code := copyTo("qubes.Filecopy", filepath.Join(src, "file"), filepath.Join(src, "folder")); code != 0 {
		log, _ := os.ReadFile(w.dir + "/unpacker.log")
		t.Fatalf("status %d\n%s", code, log)
	}
	in := filepath.Join(home, "QubesIncoming", "work")
	if got, err := os.ReadFile(filepath.Join(in, "file")); err != nil || !bytes.Equal(got, data) {
		t.Errorf("the file differs: %d bytes, %v", len(got), err)
	}
	for name, mode := range map[string]os.FileMode{"": 0o700, "file": 0o640, "folder/sub/run.sh": 0o755} {
		if info, err := os.Stat(filepath.Join(in, name)); err != nil || info.Mode().Perm() != mode {
			t.Errorf("%q: %v, %v", name, info, err)
		}
	}
	if target, err := os.Readlink(filepath.Join(in, "folder/link")); target != "sub/run.sh" {
		t.Errorf("the link leads to %q, %v", target, err)
	}
	// The receiver's refusal is the sender's failure.
	if code := copyTo("qubes.Filecopy", filepath.Join(src, "file")); code == 0 {
		t.Error("a file that exists was replaced")
	}
	write(t, filepath.Join(src, "a\x1bb"), "x", 0o600)
	if code := copyTo("qubes.Filecopy", filepath.Join(src, "a\x1bb")); code == 0 {
		t.Error("a name with ESC was accepted")
	}
	if code := copyTo("qubes.Filecopy+allow-all-names", filepath.Join(src, "a\x1bb")); code != 0 {
		t.Errorf("allow-all-names: %d", code)
	}
	log, err := os.ReadFile(w.dir + "/unpacker.log")
	if err != nil || strings.ContainsRune(string(log), 0x1b) {
		t.Errorf("the log has ESC: %q, %v", log, err)
	}
	// A sender that dies in the middle leaves nothing.
	_, code := w.clientVM("", 41, "vault", "qubes.Filecopy", "/bin/sh", "-c", `printf '\005\000\000\000\244\201\000\000\100\102\017\000\000\000\000\000\000\000\000\000\000\000\000\000\000\000\000\000\000\000\000\000half\000content'; exit 1`)
	if code == 0 {
		t.Error("half a file was taken for a whole one")
	}
	if _, err := os.Lstat(filepath.Join(in, "half")); err == nil {
		t.Error("half a file is there")
	}
}

// TestDom0Unpacker feeds dom0's receiver: quotas and regular files only.
func TestDom0Unpacker(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	dir := shortDir(t)
	const file = "\x02\x00\x00\x00\xa4\x81\x00\x00\x05\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00%\x00hello"
	end := strings.Repeat("\x00", 32)
	stream := strings.Replace(file, "%", "a", 1) + strings.Replace(file, "%", "b", 1) + end
	if out, code := w.run(stream, 0, "qfile-dom0-unpacker", w.user, dir, "--only-regular-files"); code != 0 || len(out) != 21 {
		t.Errorf("two files: %d, %q", code, out)
	}
	t.Run("quota", func(t *testing.T) {
		dir := shortDir(t)
		cmd := w.program(0, "qfile-dom0-unpacker", w.user, dir)
		cmd.Env = append(cmd.Env, "UPDATES_MAX_FILES=1")
		cmd.Stdin = strings.NewReader(stream)
		if err := cmd.Run(); cmd.ProcessState.ExitCode() != 122 {
			t.Errorf("a second file: %v", err)
		}
		if _, err := os.Stat(filepath.Join(dir, "b")); err == nil {
			t.Error("the second file was made")
		}
	})
	folder := "\x02\x00\x00\x00\xed\x41\x00\x00" + strings.Repeat("\x00", 24) + "d\x00"
	if _, code := w.run(folder+end, 0, "qfile-dom0-unpacker", w.user, dir, "--only-regular-files"); code != 22 {
		t.Errorf("a directory: %d", code)
	}
}
