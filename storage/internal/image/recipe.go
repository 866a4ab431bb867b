// Package image builds the root image, kernel and initrd of a template from a recipe and
// the guest programs. A build has two stages with a cache each: the base (the distribution,
// slow, changes with the recipe) and the final image (our files put into a copy of the
// base, fast). It does not know qubes, pools or volumes.
package image

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"path"
	"strings"
)

// baseFormat changes whenever this code builds a different base from the same recipe.
const baseFormat = 2

// rootSize is the size of the root file system in bytes. The image is sparse.
const rootSize = 3 << 30

// Recipe says what a base consists of.
type Recipe struct {
	Name      string   // directory of the recipe, for example debian-12
	Suite     string   // of the distribution
	Packages  []string // installed without recommendations
	Kernel    string   // meta package that depends on the kernel
	Exclude   []string // dpkg path-exclude patterns
	Modules   []string // of the initrd
	Customize []byte   // script that finishes the tree
}

// LoadRecipe reads the recipe called name from f.
func LoadRecipe(f fs.FS, name string) (Recipe, error) {
	suites := map[string]string{"debian-12": "bookworm"}
	r := Recipe{Name: name, Suite: suites[name]}
	if r.Suite == "" {
		return Recipe{}, fmt.Errorf("recipe %q is not known", name)
	}
	var err error
	list := func(file string) []string {
		b, rerr := fs.ReadFile(f, path.Join(name, file))
		if rerr != nil && err == nil {
			err = rerr
		}
		return lines(string(b))
	}
	r.Packages, r.Exclude, r.Modules = list("packages"), list("exclude"), list("initrd-modules")
	kernel := list("kernel")
	if err != nil {
		return Recipe{}, fmt.Errorf("reading recipe %s: %w", name, err)
	}
	if len(kernel) != 1 || len(r.Packages) == 0 {
		return Recipe{}, fmt.Errorf("recipe %s: want packages and exactly one kernel", name)
	}
	r.Kernel = kernel[0]
	if r.Customize, err = fs.ReadFile(f, path.Join(name, "customize.sh")); err != nil {
		return Recipe{}, fmt.Errorf("reading recipe %s: %w", name, err)
	}
	return r, nil
}

// Hash identifies the base that this recipe gives, apart from the age of its packages.
func (r Recipe) Hash() string {
	h := sha256.New()
	fmt.Fprintf(h, "%d %s %s %s %d\n", baseFormat, r.Name, r.Suite, r.Kernel, int64(rootSize))
	for _, l := range [][]string{r.Packages, r.Exclude, r.Modules, {string(r.Customize)}} {
		fmt.Fprintf(h, "%q\n", l)
	}
	return hex.EncodeToString(h.Sum(nil))[:16]
}

// lines gives the non-empty lines of s without comments.
func lines(s string) []string {
	var out []string
	for l := range strings.Lines(s) {
		if l, _, _ = strings.Cut(l, "#"); strings.TrimSpace(l) != "" {
			out = append(out, strings.TrimSpace(l))
		}
	}
	return out
}
