// Command qubist-template builds the image, kernel and initrd of the template that new
// systems start with, and checks what was built. It does not import the result into a pool.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"qubist/assets/guest"
	"qubist/assets/recipe"
	"qubist/storage/internal/image"
)

const usage = `usage: qubist-template build --cache DIR --bin DIR [--progress text|json|none] [--refresh] [--partial]
       qubist-template check --cache DIR --bin DIR    (0: build would do nothing)
       qubist-template verify --cache DIR
`

func main() {
	if len(os.Args) < 2 {
		fmt.Fprint(os.Stderr, usage)
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	var err error
	switch os.Args[1] {
	case "build":
		err = build(ctx, os.Args[2:], false)
	case "check":
		err = build(ctx, os.Args[2:], true)
	case "verify":
		err = verify(os.Args[2:])
	default:
		fmt.Fprint(os.Stderr, usage)
		os.Exit(2)
	}
	if ctx.Err() != nil && err != nil {
		err = fmt.Errorf("interrupted; the next build begins where nothing is half made")
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "qubist-template:", err)
		if next := image.Next(err); next != "" {
			fmt.Fprintln(os.Stderr, "   next:", next)
		}
		os.Exit(1)
	}
}

func build(ctx context.Context, args []string, check bool) error {
	f := flag.NewFlagSet("build", flag.ExitOnError)
	cache := f.String("cache", "", "`directory` of the result and of what later builds use again")
	bin := f.String("bin", "", "`directory` of the guest programs")
	name := f.String("recipe", "debian-12", "recipe")
	progress := f.String("progress", "text", "progress on standard output: text, json or none")
	refresh := f.Bool("refresh", false, "build the base anew with the packages of today")
	partial := f.Bool("partial", false, "leave out guest programs that are not there (for tests)")
	f.Parse(args)
	if *cache == "" || *bin == "" || f.NArg() != 0 {
		return fmt.Errorf("build needs --cache and --bin\n%s", usage)
	}
	show, ok := reporters[*progress]
	if !ok {
		return fmt.Errorf("--progress %q: want text, json or none", *progress)
	}
	r, err := image.LoadRecipe(recipe.Files, *name)
	if err != nil {
		return err
	}
	b := image.Builder{Recipe: r, Assets: guest.Files, Bin: *bin, Cache: *cache, Etc: "/etc", UID: os.Geteuid(),
		Partial: *partial, Refresh: *refresh, Now: time.Now, Progress: show}
	if check {
		if _, ok := b.Current(); !ok {
			return fmt.Errorf("the template in %s is not built or not of these programs", *cache)
		}
		return nil
	}
	dir, err := b.Build(ctx)
	if err != nil {
		return err
	}
	b.Finish(dir)
	return nil
}

// reporters write progress events to standard output.
var reporters = map[string]func(image.Event){
	"none": func(image.Event) {},
	"text": func(e image.Event) { fmt.Printf("[%3.0f s] %s\n", e.Elapsed.Seconds(), e.Text) },
	"json": func(e image.Event) {
		json.NewEncoder(os.Stdout).Encode(map[string]any{"seconds": e.Elapsed.Seconds(), "text": e.Text})
	},
}

func verify(args []string) error {
	f := flag.NewFlagSet("verify", flag.ExitOnError)
	cache := f.String("cache", "", "`directory` that build wrote to")
	f.Parse(args)
	if *cache == "" || f.NArg() != 0 {
		return fmt.Errorf("verify needs --cache\n%s", usage)
	}
	return image.Verify(*cache)
}
