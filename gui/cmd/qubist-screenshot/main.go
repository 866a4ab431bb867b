// Command qubist-screenshot writes a picture of the X screen, with all windows on it, to a
// PNG file.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"qubist/core/paths"
	"qubist/gui/internal/screenshot"
	"qubist/gui/internal/xconn"
)

// displayLimit is how long connecting to the X server may take.
const displayLimit = 10 * time.Second

func main() {
	root := flag.String("root", "", "`directory` of the instance (default $QUBIST_ROOT or the system's)")
	display := flag.String("display", "", "X `display` (default $DISPLAY or the instance's)")
	flag.Usage = func() {
		fmt.Fprintln(flag.CommandLine.Output(), "usage: qubist-screenshot [--root DIR] [--display :N] FILE.png")
		flag.PrintDefaults()
	}
	flag.Parse()
	if flag.NArg() != 1 {
		flag.Usage()
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	err := run(ctx, *root, *display, flag.Arg(0))
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "qubist-screenshot:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, root, display, file string) error {
	p, err := paths.New(root)
	if err != nil {
		return err
	}
	getenv := os.Getenv
	if root != "" { // an instance that was named goes before the user's own display
		getenv = func(string) string { return "" }
	}
	if display != "" {
		getenv = func(name string) string {
			if name == "DISPLAY" {
				return display
			}
			return os.Getenv(name)
		}
	}
	name, authority, err := xconn.Locate(getenv, p.DisplayFile())
	if err != nil {
		return err
	}
	dialCtx, cancel := context.WithTimeout(ctx, displayLimit)
	defer cancel()
	c, err := xconn.Dial(dialCtx, name, authority)
	if err != nil {
		return err
	}
	defer c.Close()
	img, err := screenshot.Take(c)
	if err != nil {
		return err
	}
	return screenshot.Write(file, img)
}
