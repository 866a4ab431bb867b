package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"qubist/qrexec/internal/cli"
	"qubist/qrexec/internal/getopt"
)

// call asks for the copy; the question in dom0 chooses the target unless it is named.
func call(args []string, move, named bool) (int, error) {
	var quiet, ignoreLinks, allNames bool
	opts := []getopt.Option{
		{Long: "without-progress", Flag: getopt.On(&quiet)},
		{Long: "ignore-symlinks", Flag: getopt.On(&ignoreLinks)},
		{Long: "allow-all-names", Flag: getopt.On(&allNames)},
	}
	files, err := getopt.Parse(args, opts)
	target := "@default"
	if err == nil && named {
		if len(files) == 0 {
			return exitUsage, errors.New("no target named")
		}
		target = files[0]
		files, err = getopt.Parse(files[1:], opts)
	}
	switch {
	case err != nil:
		return exitUsage, err
	case len(files) == 0:
		return exitUsage, errors.New("no file named")
	case move && ignoreLinks:
		return exitUsage, errors.New("--ignore-symlinks would lose the links of what is moved")
	case strings.HasPrefix(target, "-"):
		return exitUsage, fmt.Errorf("%q is not a qube", target)
	}
	total, err := size(files)
	if err != nil {
		return exitFailed, err
	}
	cmd, err := command(target, allNames, ignoreLinks, files)
	if err != nil {
		return exitFailed, err
	}
	if !quiet && cli.IsTerminal(os.Stderr) {
		cmd.Env = append(os.Environ(), "PROGRESS_TYPE=console", fmt.Sprintf("FILECOPY_TOTAL_BYTES=%d", total))
	}
	if err := cmd.Run(); err != nil {
		if e := (*exec.ExitError)(nil); errors.As(err, &e) && e.ExitCode() > 0 {
			return e.ExitCode(), errors.New("nothing or not everything was copied")
		}
		return exitFailed, err
	}
	if !move {
		return 0, nil
	}
	for _, f := range files {
		if err := os.RemoveAll(f); err != nil {
			return exitFailed, fmt.Errorf("removing what was moved: %w", err)
		}
	}
	return 0, nil
}

// command is the call with this very program as the sending end.
func command(target string, allNames, ignoreLinks bool, files []string) (*exec.Cmd, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("finding qfile-agent: %w", err)
	}
	service := "qubes.Filecopy"
	if allNames {
		service += "+allow-all-names"
	}
	args := []string{target, service, self}
	if ignoreLinks {
		args = append(args, "--ignore-symlinks")
	}
	cmd := exec.Command(filepath.Join(filepath.Dir(self), "qrexec-client-vm"), append(append(args, "--"), files...)...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	return cmd, nil
}

// size is what the files hold together, in bytes. A file that is missing is an error now
// and not after the question.
func size(files []string) (int64, error) {
	var total int64
	for _, f := range files {
		err := filepath.WalkDir(f, func(path string, d fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			if d.Type().IsRegular() {
				info, err := d.Info()
				if err != nil {
					return err
				}
				total += info.Size()
			}
			return nil
		})
		if err != nil {
			return 0, err
		}
	}
	return total, nil
}
