package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strconv"
	"syscall"

	"qubist/qrexec/internal/filecopy"
	"qubist/qrexec/internal/getopt"
)

// The agent's exit statuses besides 0.
const (
	exitFailed       = 1
	exitUsage        = 2
	exitProgressLost = 32 // who shows the progress is gone: the user cancelled
)

// agent sends files over the standard streams.
func agent(args []string) (int, error) {
	var o filecopy.PackOptions
	files, err := getopt.Parse(args, []getopt.Option{{Long: "ignore-symlinks", Flag: getopt.On(&o.IgnoreSymlinks)}})
	if err != nil {
		return exitUsage, err
	}
	signal.Ignore(syscall.SIGPIPE) // the receiver's answer says more
	if o.Progress, err = progress(); err != nil {
		return exitUsage, err
	}
	err = filecopy.Pack(context.Background(), os.Stdout, os.Stdin, files, o)
	if os.Getenv("PROGRESS_TYPE") == "console" {
		fmt.Fprintln(os.Stderr)
	}
	var refused *filecopy.Refused
	switch {
	case err == nil:
		return 0, nil
	case errors.Is(err, errProgressLost):
		return exitProgressLost, err
	case errors.As(err, &refused) && refused.LastName != nil:
		return exitFailed, fmt.Errorf("the receiver refused: %w; last file: %q", err, refused.Name())
	}
	return exitFailed, err
}

var errProgressLost = errors.New("cancelled")

// progress is what PROGRESS_TYPE asks for (spec filecopy.md §8).
func progress() (func(uint64) error, error) {
	switch os.Getenv("PROGRESS_TYPE") {
	case "console":
		total, err := strconv.ParseUint(os.Getenv("FILECOPY_TOTAL_BYTES"), 10, 63)
		if err != nil {
			return nil, fmt.Errorf("FILECOPY_TOTAL_BYTES: %w", err)
		}
		return func(sent uint64) error {
			fmt.Fprintf(os.Stderr, "sent %d/%d KB\r", sent>>10, total>>10)
			return nil
		}, nil
	case "gui":
		fd, err := strconv.Atoi(os.Getenv("SAVED_FD_1"))
		if err != nil || fd < 0 {
			return nil, fmt.Errorf("SAVED_FD_1=%q is not a descriptor", os.Getenv("SAVED_FD_1"))
		}
		f := os.NewFile(uintptr(fd), "progress")
		return func(sent uint64) error {
			if _, err := fmt.Fprintln(f, sent); err != nil {
				if errors.Is(err, syscall.EPIPE) {
					return errProgressLost
				}
				return err
			}
			return nil
		}, nil
	}
	return nil, nil
}
