// Command qfile-agent is the sending end of qubes.Filecopy, and under other names the
// commands for users of a VM.
//
//	qfile-agent [--ignore-symlinks] [--] FILE…              (run by qrexec-client-vm)
//	qvm-copy [--without-progress] [--ignore-symlinks] [--allow-all-names] [--] FILE…
//	qvm-move …                                              (removes the files afterwards)
//	qvm-copy-to-vm TARGET …, qvm-move-to-vm TARGET …
package main

import (
	"fmt"
	"os"
	"path/filepath"
)

func main() {
	var status int
	var err error
	name := filepath.Base(os.Args[0])
	switch name {
	case "qvm-copy":
		status, err = call(os.Args[1:], false, false)
	case "qvm-move":
		status, err = call(os.Args[1:], true, false)
	case "qvm-copy-to-vm":
		status, err = call(os.Args[1:], false, true)
	case "qvm-move-to-vm":
		status, err = call(os.Args[1:], true, true)
	default:
		status, err = agent(os.Args[1:])
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", name, err)
	}
	os.Exit(status)
}
