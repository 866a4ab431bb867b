package image

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"sort"
	"strings"
)

// node is one file or link to be put into the root file system.
type node struct {
	path string // absolute, in the VM
	mode uint32 // permission bits of a file
	body []byte // of a file
	link string // target of a symbolic link, "" for a file
}

// destination says where the first folder of the guest assets goes.
var destination = map[string]struct {
	dir  string
	mode uint32
}{
	"etc":        {"/etc", 0o644},
	"systemd":    {"/usr/lib/systemd/system", 0o644},
	"qubes-rpc":  {"/etc/qubes-rpc", 0o755},
	"rpc-config": {"/etc/qubes/rpc-config", 0o644},
	"xorg":       {"/usr/share/qubes/xorg", 0o644},
	"bin":        {"/usr/lib/qubes", 0o755},
	"share":      {"/usr/share/qubes", 0o644},
}

// maskFile lists the units of the distribution that are switched off; a line with a slash
// is a path below /etc/systemd.
const maskFile = "systemd-masks"

// assetNodes turns the guest assets into nodes: the files, the links that enable our units
// and those that mask others.
func assetNodes(assets fs.FS) ([]node, error) {
	var out []node
	err := fs.WalkDir(assets, ".", func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := fs.ReadFile(assets, p)
		if err != nil {
			return err
		}
		top, rest, nested := strings.Cut(p, "/")
		switch dst, ok := destination[top]; {
		case !nested && path.Ext(p) == ".go":
		case p == maskFile:
			for _, unit := range lines(string(b)) {
				if !strings.Contains(unit, "/") {
					unit = "system/" + unit
				}
				out = append(out, node{path: "/etc/systemd/" + unit, link: "/dev/null"})
			}
		case !nested || !ok:
			return fmt.Errorf("guest asset %s: no place in the VM is known for it", p)
		default:
			out = append(out, node{path: dst.dir + "/" + rest, mode: dst.mode, body: b})
			if top == "systemd" {
				out = append(out, wantedBy(rest, b)...)
			}
		}
		return nil
	})
	return out, err
}

// wantedBy gives the links that `systemctl enable` would make for a unit.
func wantedBy(unit string, body []byte) []node {
	var out []node
	for l := range strings.Lines(string(body)) {
		if targets, ok := strings.CutPrefix(strings.TrimSpace(l), "WantedBy="); ok {
			for _, t := range strings.Fields(targets) {
				out = append(out, node{path: "/etc/systemd/system/" + t + ".wants/" + unit, link: "/usr/lib/systemd/system/" + unit})
			}
		}
	}
	return out
}

// script writes the debugfs commands that put the nodes into an image whose paths are
// exists; bodies are read from files that local names.
func script(nodes []node, exists map[string]bool, local func(i int) string) (string, error) {
	var b strings.Builder
	dirs := map[string]bool{}
	for _, n := range nodes {
		if n.path != path.Clean(n.path) || !path.IsAbs(n.path) || strings.ContainsAny(n.path+n.link, "\"\n") {
			return "", fmt.Errorf("path %q cannot be put into an image", n.path)
		}
		for d := path.Dir(n.path); d != "/"; d = path.Dir(d) {
			if !exists[d] {
				dirs[d] = true
			}
		}
	}
	made := make([]string, 0, len(dirs))
	for d := range dirs {
		made = append(made, d)
	}
	sort.Strings(made) // parents come before their children
	for _, d := range made {
		fmt.Fprintf(&b, "mkdir \"%s\"\nsif \"%s\" mode 040755\n", d, d)
	}
	for i, n := range nodes {
		if exists[n.path] {
			fmt.Fprintf(&b, "rm \"%s\"\n", n.path)
		}
		if n.link != "" {
			fmt.Fprintf(&b, "symlink \"%s\" \"%s\"\n", n.path, n.link)
			continue
		}
		fmt.Fprintf(&b, "write \"%s\" \"%s\"\n", local(i), n.path)
		fmt.Fprintf(&b, "sif \"%s\" mode 0%o\n", n.path, modeRegular|n.mode)
		fmt.Fprintf(&b, "sif \"%s\" uid 0\nsif \"%s\" gid 0\n", n.path, n.path)
	}
	return b.String(), nil
}

// inject puts the nodes into the ext4 image and checks it. work is a scratch directory.
func inject(ctx context.Context, img, work string, nodes []node, exists map[string]bool) error {
	if err := os.MkdirAll(work, 0o700); err != nil {
		return err
	}
	defer os.RemoveAll(work)
	local := func(i int) string { return filepath.Join(work, fmt.Sprint(i)) }
	for i, n := range nodes {
		if n.link != "" {
			continue
		}
		if err := os.WriteFile(local(i), n.body, 0o600); err != nil {
			return err
		}
	}
	cmds, err := script(nodes, exists, local)
	if err != nil {
		return err
	}
	file := filepath.Join(work, "script")
	if err := os.WriteFile(file, []byte(cmds), 0o600); err != nil {
		return err
	}
	// debugfs succeeds whatever its commands did: what it says beyond its banner is an error.
	var stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, "debugfs", "-w", "-f", file, img)
	cmd.Stderr = &stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("putting files into the image: %w: %s", err, stderr.String())
	}
	_, said, _ := strings.Cut(stderr.String(), "\n")
	if said = strings.TrimSpace(said); said != "" {
		return fmt.Errorf("putting files into the image: %s", said)
	}
	if out, err := exec.CommandContext(ctx, "e2fsck", "-fn", img).CombinedOutput(); err != nil {
		return fmt.Errorf("checking the image: %w: %s", err, out)
	}
	return nil
}
