// Package archtest holds the walls of the house as tests: which program may link what,
// which area may import which, where unsafe and cgo may stand, and one doc comment for
// each package. Run with -count=1: the results depend on files that go test does not track.
package archtest

import (
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// pkg is what we use of `go list -json`.
type pkg struct {
	ImportPath string
	Dir        string
	Name       string
	Doc        string
	GoFiles    []string
	CgoFiles   []string
	Imports    []string
	Deps       []string
}

func list(t *testing.T) []pkg {
	t.Helper()
	cmd := exec.Command("go", "list", "-tags", "libvirt_dlopen", "-json=ImportPath,Dir,Name,Doc,GoFiles,CgoFiles,Imports,Deps", "qubist/...")
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	var all []pkg
	for dec := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p pkg
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			return all
		} else if err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
}

func hasPrefix(path, prefix string) bool {
	return path == prefix || strings.HasPrefix(path, prefix+"/")
}

// TestForbiddenLinks: no program links what its duty does not need.
func TestForbiddenLinks(t *testing.T) {
	const (
		libvirt = "libvirt.org/go/libvirt"
		xgb     = "github.com/BurntSushi/xgb"
		tview   = "github.com/rivo/tview"
		tea     = "charm.land/bubbletea"
		netHTTP = "net/http"
	)
	rows := []struct {
		cmd    string // suffix of the import path; "" is every program
		banned []string
		except []string // programs that may
		reason string
	}{
		{"", []string{libvirt}, []string{"core/cmd/qubesd"}, "cgo and the hypervisor belong to qubesd alone; everything else is static"},
		{"", []string{xgb}, []string{"gui/cmd/qubes-guid", "gui/cmd/qubes-gui-agent", "gui/cmd/qubist-screenshot"}, "only window programs speak X"},
		{"", []string{tea}, []string{"ui/cmd/qubist"}, "the console's toolkit stays in the console"},
		{"", []string{tview, "github.com/gdamore/tcell"}, []string{"ui/cmd/qrexec-policy-agent"}, "the question's toolkit stays in the question"},
		{"", []string{netHTTP}, nil, "nothing of ours speaks HTTP"},
		{"", []string{"plugin", "text/template", "html/template"}, []string{"core/cmd/qubesd", "core/cmd/qubist-up"}, "no templates over peer data, no plugins"},
		{"ui/cmd/qubist", []string{"qubist/qrexec", "qubist/gui", "qubist/storage", "qubist/netvm"}, nil, "the console knows the system through the Admin API only"},
		{"gui/cmd/qubes-guid", []string{"qubist/qrexec", "qubist/storage", "qubist/ui", "qubist/core/adminclient"}, nil, "a window daemon shows windows"},
		{"qrexec/cmd/qrexec-daemon", []string{"qubist/gui", "qubist/storage", "qubist/ui"}, nil, "a qrexec daemon carries calls"},
		{"core/cmd/qubes-vchand", []string{"qubist/gui", "qubist/qrexec", "qubist/ui", "qubist/storage", "encoding/xml"}, nil, "the multiplexer reads hostile frames and nothing else"},
		{"core/cmd/qubesdb-daemon", []string{"qubist/gui", "qubist/qrexec", "qubist/ui", "qubist/storage", "qubist/core/adminclient", "encoding/xml"}, nil, "a database of one VM needs nothing else of the system"},
	}
	for _, p := range list(t) {
		if p.Name != "main" {
			continue
		}
		name := strings.TrimPrefix(p.ImportPath, "qubist/")
		for _, r := range rows {
			if r.cmd != "" && r.cmd != name || slices.Contains(r.except, name) {
				continue
			}
			for _, dep := range p.Deps {
				for _, b := range r.banned {
					if dep != "libvirt.org/go/libvirtxml" && hasPrefix(dep, b) {
						t.Errorf("%s links %s: %s", name, dep, r.reason)
					}
				}
			}
		}
	}
}

// floor may be imported by everybody and imports nothing of ours but other floor.
var floor = []string{"qubist/core/qube", "qubist/core/vchan", "qubist/core/safetext", "qubist/core/confine", "qubist/core/paths"}

// TestWalls: across areas only to contracts, and the floor stands on nothing.
func TestWalls(t *testing.T) {
	contracts := map[string][]string{ // area → what it may import of other areas, beside the floor and assets
		"core":    {"qubist/storage/volume", "qubist/storage/pool", "qubist/netvm/rule", "qubist/netvm/addr", "qubist/qrexec/client"},
		"qrexec":  {"qubist/core/adminapi", "qubist/core/adminclient", "qubist/core/prompt"},
		"gui":     {},
		"storage": {},
		"netvm":   {},
		"ui":      {"qubist/core/adminapi", "qubist/core/adminclient", "qubist/core/prompt", "qubist/qrexec/policy"},
		"assets":  {},
	}
	isFloor := func(path string) bool {
		return slices.ContainsFunc(floor, func(f string) bool { return hasPrefix(path, f) })
	}
	for _, p := range list(t) {
		area := strings.Split(strings.TrimPrefix(p.ImportPath, "qubist/"), "/")[0]
		allowed, known := contracts[area]
		if !known {
			t.Errorf("%s is outside the agreed areas", p.ImportPath)
		}
		for _, imp := range p.Imports {
			if !hasPrefix(imp, "qubist") {
				continue
			}
			if isFloor(p.ImportPath) && !isFloor(imp) {
				t.Errorf("%s is floor and imports %s", p.ImportPath, imp)
			}
			if hasPrefix(imp, "qubist/"+area) || isFloor(imp) || hasPrefix(imp, "qubist/assets") {
				continue
			}
			if !slices.ContainsFunc(allowed, func(a string) bool { return hasPrefix(imp, a) }) {
				t.Errorf("%s imports %s, which is not a contract for area %s", p.ImportPath, imp, area)
			}
		}
	}
}

// TestPureWireFormats: a package that reads bytes of a peer uses the standard library and
// the floor only, and neither sockets, files, goroutine pools nor logs.
func TestPureWireFormats(t *testing.T) {
	pure := []string{"qubist/core/adminapi", "qubist/core/qubesdb/wire", "qubist/qrexec/wire", "qubist/qrexec/rpcname", "qubist/qrexec/internal/filecopy/wire", "qubist/gui/wire"}
	banned := []string{"net", "os", "os/exec", "log", "log/slog", "unsafe", "syscall"}
	for _, p := range list(t) {
		if !slices.Contains(pure, p.ImportPath) {
			continue
		}
		for _, imp := range p.Imports {
			if slices.Contains(banned, imp) {
				t.Errorf("%s imports %s: a wire format is pure", p.ImportPath, imp)
			}
			if strings.Contains(strings.Split(imp, "/")[0], ".") {
				t.Errorf("%s imports %s: standard library only", p.ImportPath, imp)
			}
		}
	}
}

// TestUnsafeAndCgo: unsafe only in files that say so in their name, cgo only in the libvirt driver.
func TestUnsafeAndCgo(t *testing.T) {
	for _, p := range list(t) {
		if len(p.CgoFiles) > 0 {
			t.Errorf("%s uses cgo in %v", p.ImportPath, p.CgoFiles)
		}
		if !slices.Contains(p.Imports, "unsafe") {
			continue
		}
		for _, f := range p.GoFiles {
			src, err := os.ReadFile(filepath.Join(p.Dir, f))
			if err != nil {
				t.Fatal(err)
			}
			if strings.Contains(string(src), "\"unsafe\"") && !strings.HasSuffix(f, "_unsafe.go") {
				t.Errorf("%s/%s imports unsafe, its name must end in _unsafe.go", p.ImportPath, f)
			}
		}
	}
}

// TestOneDocComment: each package says once what it is.
func TestOneDocComment(t *testing.T) {
	for _, p := range list(t) {
		if len(p.GoFiles) == 0 {
			continue // tests only
		}
		n := 0
		for _, f := range p.GoFiles {
			src, err := os.ReadFile(filepath.Join(p.Dir, f))
			if err != nil {
				t.Fatal(err)
			}
			before, _, found := strings.Cut("\n"+string(src), "\npackage ")
			lines := strings.Split(strings.TrimRight(before, "\n"), "\n")
			last := lines[len(lines)-1]
			blank := strings.HasSuffix(before, "\n\n") || strings.HasSuffix(before, "\n")
			if found && !blank && (strings.HasPrefix(last, "//") && !strings.HasPrefix(last, "//go:") || strings.HasSuffix(last, "*/")) {
				n++
			}
		}
		if n != 1 {
			t.Errorf("%s has %d doc comments, want 1", p.ImportPath, n)
		}
	}
}

// TestTopLevel: nothing stands beside the agreed folders.
func TestTopLevel(t *testing.T) {
	root := filepath.Join("..", "..", "..")
	agreed := []string{"ui", "core", "gui", "qrexec", "storage", "netvm", "assets", "bin", "go.mod", "go.sum", "Taskfile.yml", "README.md", "CHANGELOG.md", "LICENSE"}
	entries, err := fs.ReadDir(os.DirFS(root), ".")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), ".") && !slices.Contains(agreed, e.Name()) {
			t.Errorf("%s does not belong at the top level", e.Name())
		}
	}
}
