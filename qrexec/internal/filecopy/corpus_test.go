package filecopy_test

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"qubist/qrexec/internal/filecopy"
	"qubist/qrexec/internal/filecopy/wire"
)

type entry struct {
	PathB64   string  `json:"path_b64"`
	Type      string  `json:"type"`
	Mode      string  `json:"mode"`
	Size      *int64  `json:"size"`
	SHA256    string  `json:"sha256"`
	Atime     *int64  `json:"atime"`
	AtimeNsec *int64  `json:"atime_nsec"`
	Mtime     *int64  `json:"mtime"`
	MtimeNsec *int64  `json:"mtime_nsec"`
	TargetB64 *string `json:"target_b64"`
}

type corpusCase struct {
	ID        string `json:"id"`
	Profile   string `json:"profile"`
	StreamB64 string `json:"stream_b64"`
	Response  struct {
		Hex string `json:"hex"`
	} `json:"response"`
	ExitStatus int      `json:"exit_status"`
	Tree       []entry  `json:"tree"`
	Args       []string `json:"args"`
	SourceTree []entry  `json:"source_tree"`
	PackerExit int      `json:"packer_exit"`
}

// profiles are the receivers that the corpus was recorded with.
var profiles = map[string]filecopy.Options{
	"vm":                 {Rules: wire.Rules{LooseTargets: true}},
	"vm-all-names":       {Rules: wire.Rules{LooseTargets: true, AllNames: true}},
	"vm-unsafe-symlinks": {Rules: wire.Rules{LooseTargets: true, UnsafeLinks: true}},
	"dom0":               {},
	"dom0-regular":       {OnlyRegular: true},
	"dom0-limits":        {Limits: filecopy.Limits{Bytes: 1000, Entries: 5}},
}

// ours are the answers in which we differ from the recording on purpose.
var ours = map[string]string{
	"dirname-00": negated, "dirname-01": negated, "dirname-04": negated, "dirname-07": negated, "flip-33": negated,
}

const negated = "the original negates EILSEQ for directories by mistake"

// leftover are the cases in which the original leaves an empty file of mode 0000 behind;
// ours removes what it could not complete. Everything else in their trees must agree.
var leftover = map[string]string{"quota-one-more": "a", "quota-claims-huge": "a"}

func corpus(t testing.TB, name string) []corpusCase {
	t.Helper()
	dir := filepath.Join("testdata", "filecopy")
	if root := os.Getenv("QUBIST_CORPUS"); root != "" {
		dir = filepath.Join(root, "filecopy")
		if _, err := os.Stat(dir); err != nil {
			t.Skipf("no filecopy corpus: %v", err)
		}
	}
	f, err := os.Open(filepath.Join(dir, name))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	var all []corpusCase
	s := bufio.NewScanner(z)
	s.Buffer(nil, 64<<20)
	for s.Scan() {
		var c corpusCase
		if err := json.Unmarshal(s.Bytes(), &c); err != nil {
			t.Fatal(err)
		}
		all = append(all, c)
	}
	if s.Err() != nil || len(all) == 0 {
		t.Fatalf("%s: %d cases, %v", name, len(all), s.Err())
	}
	return all
}

func b64(t testing.TB, s string) []byte {
	t.Helper()
	b, err := base64.StdEncoding.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestCorpusFilecopyMalformed(t *testing.T) { unpackCorpus(t, "malformed.jsonl.gz") }

func TestCorpusFilecopyPacked(t *testing.T) { unpackCorpus(t, "packed.jsonl.gz") }

// unpackCorpus unpacks every stream: same answer, same exit status, same tree, and nothing
// beside the directory.
func unpackCorpus(t *testing.T, name string) {
	cases := corpus(t, name)
	agreed := 0
	for _, c := range cases {
		if diff := unpackCase(t, c); diff == "" {
			agreed++
		} else if len(diff) > 0 {
			t.Errorf("%s (%s): %s", c.ID, c.Profile, diff)
		}
	}
	t.Logf("corpus filecopy: %d/%d", agreed, len(cases))
}

func unpackCase(t *testing.T, c corpusCase) string {
	outer := memory(t)
	inner := filepath.Join(outer, "in")
	if err := os.Mkdir(inner, 0o700); err != nil {
		t.Fatal(err)
	}
	if c.ID == "existing-file" {
		if err := os.WriteFile(filepath.Join(inner, "a"), []byte("old"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	options, ok := profiles[c.Profile]
	if !ok {
		return "unknown profile"
	}
	dir, err := filecopy.OpenDir(inner)
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	out := filecopy.Unpack(context.Background(), bytes.NewReader(b64(t, c.StreamB64)), dir, options)
	wantExit := c.ExitStatus
	want, err := hex.DecodeString(c.Response.Hex)
	if err != nil {
		t.Fatal(err)
	}
	if ours[c.ID] == negated {
		copy(want, []byte{byte(wire.EILSEQ), 0, 0, 0})
		wantExit = wire.EILSEQ.Exit()
	}
	var got []byte
	if !out.Silent {
		got = out.Result.Append(nil)
	}
	if !bytes.Equal(got, want) {
		return fmt.Sprintf("answer\n got %x\nwant %x", got, want)
	}
	if out.Exit() != wantExit {
		return fmt.Sprintf("exit status %d, want %d", out.Exit(), wantExit)
	}
	if beside, err := os.ReadDir(outer); err != nil || len(beside) != 1 {
		return fmt.Sprintf("wrote outside: %v %v", beside, err)
	}
	if c.Tree == nil {
		return "" // too deep to list
	}
	wantTree := slices.DeleteFunc(c.Tree, func(e entry) bool { return leftover[c.ID] != "" && string(b64(t, e.PathB64)) == leftover[c.ID] })
	return compareTree(t, inner, wantTree)
}

// compareTree says how the tree below dir differs from want; times that want leaves out
// are free.
func compareTree(t *testing.T, dir string, want []entry) string {
	t.Helper()
	got := listTree(t, dir)
	wantPaths := map[string]entry{}
	for _, e := range want {
		wantPaths[string(b64(t, e.PathB64))] = e
	}
	var diffs []string
	for path := range got {
		if _, ok := wantPaths[path]; !ok {
			diffs = append(diffs, fmt.Sprintf("unexpected %q", path))
		}
	}
	for path, w := range wantPaths {
		g, ok := got[path]
		if !ok {
			diffs = append(diffs, fmt.Sprintf("missing %q", path))
			continue
		}
		for _, p := range []struct{ want, got **int64 }{{&w.Size, &g.Size}, {&w.Atime, &g.Atime}, {&w.AtimeNsec, &g.AtimeNsec}, {&w.Mtime, &g.Mtime}, {&w.MtimeNsec, &g.MtimeNsec}} {
			if *p.want == nil {
				*p.got = nil
			}
		}
		w.PathB64, g.PathB64 = "", ""
		if w.Type == "link" {
			w.Mode, g.Mode = "", ""
		}
		gj, _ := json.Marshal(g)
		wj, _ := json.Marshal(w)
		if !bytes.Equal(gj, wj) {
			diffs = append(diffs, fmt.Sprintf("%q\n got %s\nwant %s", path, gj, wj))
		}
	}
	slices.Sort(diffs)
	return strings.Join(diffs, "\n")
}

func listTree(t *testing.T, dir string) map[string]entry {
	t.Helper()
	out := map[string]entry{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || path == dir {
			return err
		}
		rel, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		var st unix.Stat_t
		if err := unix.Lstat(path, &st); err != nil {
			return err
		}
		e := entry{Mode: fmt.Sprintf("0o%o", st.Mode&07777)}
		if d.Type()&fs.ModeSymlink == 0 { // whoever runs this must be able to read and remove it
			if err := os.Chmod(path, 0o700); err != nil {
				return err
			}
		}
		num := func(v int64) *int64 { return &v }
		e.Atime, e.AtimeNsec, e.Mtime, e.MtimeNsec = num(st.Atim.Sec), num(st.Atim.Nsec), num(st.Mtim.Sec), num(st.Mtim.Nsec)
		switch {
		case d.Type().IsRegular():
			b, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			sum := sha256.Sum256(b)
			e.Type, e.Size, e.SHA256 = "file", num(st.Size), hex.EncodeToString(sum[:])
		case d.IsDir():
			e.Type = "dir"
		case d.Type()&fs.ModeSymlink != 0:
			target, err := os.Readlink(path)
			if err != nil {
				return err
			}
			enc := base64.StdEncoding.EncodeToString([]byte(target))
			e.Type, e.TargetB64 = "link", &enc
		default:
			e.Type = d.Type().String()
		}
		out[rel] = e
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}
