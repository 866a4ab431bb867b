package image

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"qubist/storage/internal/sparse"
)

// Programs are the guest programs that a build expects in its Bin directory.
var Programs = []string{"qubes-init", "qubes-vchan-agent", "qrexec-agent", "qrexec-client-vm", "qubes-gui-agent", "qfile-agent", "qfile-unpacker", "qubesdb-daemon", "qubesdb"}

// commands are the names under which users find the programs in /usr/bin.
var commands = map[string][]string{
	"qrexec-client-vm": {"qrexec-client-vm"},
	"qfile-agent":      {"qvm-copy", "qvm-copy-to-vm", "qvm-move", "qvm-move-to-vm"},
	"qubesdb":          {"qubesdb-cmd", "qubesdb-read", "qubesdb-write", "qubesdb-rm", "qubesdb-multiread", "qubesdb-list", "qubesdb-watch", "qubesdb-read-bool"},
}

// setFiles are the files of a finished set.
var setFiles = []string{"root.img", "vmlinuz", "initramfs", "manifest.json"}

// Manifest describes a finished set; it is manifest.json.
type Manifest struct {
	Recipe   string              `json:"recipe"` // name
	Hash     string              `json:"hash"`   // of the recipe
	Built    time.Time           `json:"built"`
	Kernel   string              `json:"kernel"` // version
	Files    map[string]FileInfo `json:"files"`
	Programs map[string]string   `json:"programs"` // name → SHA-256
	Packages []string            `json:"packages"` // "name version"
}

// FileInfo describes one file of a set.
type FileInfo struct {
	Size   int64  `json:"size"`   // bytes, holes included
	Digest string `json:"digest"` // see sparse.Digest
}

// ReadManifest reads the manifest of the set in dir.
func ReadManifest(dir string) (Manifest, error) {
	var m Manifest
	b, err := os.ReadFile(filepath.Join(dir, "manifest.json"))
	if err != nil {
		return m, err
	}
	if err := json.Unmarshal(b, &m); err != nil {
		return m, fmt.Errorf("reading the manifest: %w", err)
	}
	return m, nil
}

// Verify checks the files of the set in dir against its manifest.
func Verify(dir string) error {
	m, err := ReadManifest(dir)
	if err != nil {
		return err
	}
	for _, n := range setFiles[:3] {
		got, err := fileInfo(filepath.Join(dir, n))
		if err != nil {
			return err
		}
		if got != m.Files[n] {
			return fmt.Errorf("%s is not what the manifest says: size %d, %s", n, got.Size, got.Digest)
		}
	}
	return nil
}

// contents reads everything of ours that goes into the image, and /init.
func (b *Builder) contents() ([]node, []byte, error) {
	nodes, err := assetNodes(b.Assets)
	if err != nil {
		return nil, nil, err
	}
	var init []byte
	for _, p := range Programs {
		body, err := os.ReadFile(filepath.Join(b.Bin, p))
		if errors.Is(err, fs.ErrNotExist) && b.Partial && p != "qubes-init" {
			b.say("programs: %s is left out, it is not there", p)
			continue
		}
		if err != nil {
			return nil, nil, fmt.Errorf("guest program: %w", err)
		}
		nodes = append(nodes, node{path: "/usr/lib/qubes/" + p, mode: 0o755, body: body})
		if p == "qubes-init" {
			init = body
		}
		for _, name := range commands[p] {
			nodes = append(nodes, node{path: "/usr/bin/" + name, link: "../lib/qubes/" + p})
		}
	}
	return nodes, init, nil
}

// final returns the directory of the set made of base and nodes, which it builds if need be.
func (b *Builder) final(ctx context.Context, base string, nodes []node, init []byte) (string, error) {
	var info baseInfo
	raw, err := os.ReadFile(filepath.Join(base, "base.json"))
	if err != nil {
		return "", err
	}
	if err := json.Unmarshal(raw, &info); err != nil {
		return "", fmt.Errorf("reading %s/base.json: %w", base, err)
	}
	dir := filepath.Join(b.Cache, "set-"+setHash(b.Recipe.Hash(), raw, nodes))
	if _, err := os.Stat(filepath.Join(dir, "manifest.json")); err == nil {
		b.say("image: up to date")
		return dir, nil
	}
	if err := b.space(finalSpace); err != nil {
		return "", err
	}
	tmp, err := os.MkdirTemp(b.Cache, "tmp-set-")
	if err != nil {
		return "", err
	}
	defer removeTree(tmp)
	if err := os.Chmod(tmp, 0o755); err != nil {
		return "", err
	}
	b.say("image: copying the base")
	for _, n := range []string{"root.img", "vmlinuz"} {
		if err := sparse.CopyFile(ctx, filepath.Join(tmp, n), filepath.Join(base, n), 0o644); err != nil {
			return "", err
		}
	}
	b.say("image: %d files of ours", len(nodes))
	exists, err := readPaths(filepath.Join(base, "paths"))
	if err != nil {
		return "", err
	}
	if err := inject(ctx, filepath.Join(tmp, "root.img"), filepath.Join(tmp, "work"), nodes, exists); err != nil {
		return "", err
	}
	if err := makeInitrd(filepath.Join(tmp, "initramfs"), base, info.Modules, init); err != nil {
		return "", err
	}
	b.say("image: manifest")
	if err := b.manifest(tmp, info, nodes); err != nil {
		return "", err
	}
	if err := publishDir(tmp, dir); err != nil {
		return "", err
	}
	return dir, nil
}

// setHash identifies the set made of a base and our nodes.
func setHash(recipe string, base []byte, nodes []node) string {
	h := sha256.New()
	fmt.Fprintf(h, "%s %x\n", recipe, sha256.Sum256(base))
	for _, n := range nodes {
		fmt.Fprintf(h, "%q %o %q %x\n", n.path, n.mode, n.link, sha256.Sum256(n.body))
	}
	return hex.EncodeToString(h.Sum(nil))[:16]
}

func readPaths(file string) (map[string]bool, error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	out := map[string]bool{}
	for _, l := range lines(string(b)) {
		out[l] = true
	}
	return out, nil
}

func makeInitrd(path, base string, names []string, init []byte) (err error) {
	var mods []module
	for _, n := range names {
		body, err := os.ReadFile(filepath.Join(base, "modules", n))
		if err != nil {
			return err
		}
		mods = append(mods, module{n, body})
	}
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer func() {
		if cerr := f.Close(); err == nil {
			err = cerr
		}
	}()
	if err := writeInitrd(f, init, mods); err != nil {
		return fmt.Errorf("writing the initrd: %w", err)
	}
	return nil
}

func (b *Builder) manifest(dir string, info baseInfo, nodes []node) error {
	m := Manifest{Recipe: b.Recipe.Name, Hash: b.Recipe.Hash(), Built: b.Now().UTC().Truncate(time.Second),
		Kernel: info.Kernel, Packages: info.Packages, Files: map[string]FileInfo{}, Programs: map[string]string{}}
	for _, n := range setFiles[:3] {
		fi, err := fileInfo(filepath.Join(dir, n))
		if err != nil {
			return err
		}
		m.Files[n] = fi
	}
	for _, n := range nodes {
		if filepath.Dir(n.path) == "/usr/lib/qubes" && n.link == "" {
			sum := sha256.Sum256(n.body)
			m.Programs[filepath.Base(n.path)] = hex.EncodeToString(sum[:])
		}
	}
	return writeJSON(filepath.Join(dir, "manifest.json"), m)
}

func fileInfo(path string) (FileInfo, error) {
	digest, size, err := sparse.Digest(path)
	return FileInfo{size, digest}, err
}
