// Package receive runs one unpacker as a program: it takes the stream on standard input,
// confines itself to the receiving directory, and answers on standard output. What a
// stream may contain is decided by package filecopy, by whom one may be sent by the policy.
package receive

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/user"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"

	"qubist/core/confine"
	"qubist/core/safetext"
	"qubist/qrexec/internal/filecopy"
)

// ExitProblem is the status when the unpacker cannot begin.
const ExitProblem = 1

// IncomingDir makes and names the directory for files from source in home, which is that
// of the user who runs this.
func IncomingDir(home, source string) (string, error) {
	if !qubeName(source) {
		return "", fmt.Errorf("%q is not the name of a qube", source)
	}
	if !filepath.IsAbs(home) {
		return "", fmt.Errorf("no home directory: %q", home)
	}
	dir := filepath.Join(home, "QubesIncoming")
	for _, d := range []string{dir, filepath.Join(dir, source)} {
		if err := os.Mkdir(d, 0o700); err != nil && !os.IsExist(err) {
			return "", fmt.Errorf("making the directory for files: %w", err)
		}
	}
	return filepath.Join(dir, source), nil
}

// qubeName reports whether s can be a directory's name and is one of a qube.
func qubeName(s string) bool {
	if s == "" || len(s) > 64 || s[0] == '.' || s[0] == '-' {
		return false
	}
	for i := 0; i < len(s); i++ {
		c := s[i]
		if (c|0x20 < 'a' || c|0x20 > 'z') && (c < '0' || c > '9') && c != '-' && c != '_' && c != '.' {
			return false
		}
	}
	return true
}

// Become gives up root for the user; with root's uid or one's own it does nothing.
func Become(u *user.User) error {
	uid, err := strconv.Atoi(u.Uid)
	if err != nil {
		return fmt.Errorf("user %q: %w", u.Username, err)
	}
	gid, err := strconv.Atoi(u.Gid)
	if err != nil {
		return fmt.Errorf("user %q: %w", u.Username, err)
	}
	if uid == os.Getuid() {
		return nil
	}
	if err := unix.Setgroups(nil); err != nil {
		return fmt.Errorf("becoming %s: %w", u.Username, err)
	}
	if err := unix.Setresgid(gid, gid, gid); err != nil {
		return fmt.Errorf("becoming %s: %w", u.Username, err)
	}
	if err := unix.Setresuid(uid, uid, uid); err != nil {
		return fmt.Errorf("becoming %s: %w", u.Username, err)
	}
	return nil
}

// Run unpacks standard input into dir, answers, and returns the exit status. adjust may
// change the options when the directory is open. verbose names each entry on log.
func Run(ctx context.Context, log *slog.Logger, dir string, o filecopy.Options, verbose bool, adjust func(*filecopy.Dir, *filecopy.Options) error) (int, error) {
	d, err := filecopy.OpenDir(dir)
	if err != nil {
		return ExitProblem, err
	}
	defer d.Close()
	if adjust != nil {
		if err := adjust(d, &o); err != nil {
			return ExitProblem, err
		}
	}
	if verbose {
		o.Entry = func(name []byte) { log.Info("received", "name", safetext.Bytes(name, 200)) }
	}
	// Only this directory, no programs, no network.
	if err := confine.Apply(log, confine.Profile{Write: []string{d.Path()}}); err != nil {
		return ExitProblem, err
	}
	out := filecopy.Unpack(ctx, os.Stdin, d, o)
	if out.Silent {
		return out.Exit(), fmt.Errorf("refused: malformed time")
	}
	if _, err := os.Stdout.Write(out.Result.Append(nil)); err != nil {
		return ExitProblem, fmt.Errorf("answering: %w", err)
	}
	if out.Result.Code != 0 {
		return out.Exit(), fmt.Errorf("refused: %w: %q", out.Result.Code, safetext.Bytes(out.Result.LastName, 200))
	}
	return 0, nil
}
