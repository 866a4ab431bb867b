package guestinit

import (
	"encoding/binary"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
)

func TestParseCmdline(t *testing.T) {
	def := Options{Root: "/dev/vda", User: "user"}
	for _, tc := range []struct {
		in   string
		want Options
		bad  bool
	}{
		{in: "", want: def},
		{in: "root=/dev/vda rw console=ttyS0 quiet panic=-1\n", want: def},
		{in: "root=/dev/vdz qubist.domid=12 qubist.name=work qubist.user=jo qubist.init=service qubist.gui=1",
			want: Options{Root: "/dev/vdz", Domid: 12, Name: "work", User: "jo", Service: true, GUI: true}},
		{in: "qubist.init=service qubist.init=systemd qubist.rescue=1", want: Options{Root: "/dev/vda", User: "user", Rescue: true}},
		{in: "qubist.new=thing qubist.domid=32751", want: Options{Root: "/dev/vda", User: "user", Domid: 32751}},
		{in: "qubist.domid=0", bad: true},
		{in: "qubist.domid=32752", bad: true},
		{in: "qubist.domid=-1", bad: true},
		{in: "qubist.domid", bad: true},
		{in: "qubist.name=../x", bad: true},
		{in: "qubist.user=", bad: true},
		{in: "qubist.user=a:b", bad: true},
		{in: "qubist.init=sysv", bad: true},
		{in: "qubist.gui=maybe", bad: true},
		{in: "root=LABEL=root", bad: true},
	} {
		got, err := ParseCmdline(tc.in)
		if (err != nil) != tc.bad || err == nil && got != tc.want || err != nil && got != (Options{}) {
			t.Errorf("%q: %+v, %v", tc.in, got, err)
		}
	}
}

func FuzzParseCmdline(f *testing.F) {
	f.Add("root=/dev/vda qubist.domid=3 qubist.name=work qubist.user=user qubist.init=service qubist.gui=1")
	f.Add("qubist.domid=99999999999999999999 qubist.name=\x00")
	f.Fuzz(func(t *testing.T, s string) {
		o, err := ParseCmdline(s)
		if err != nil && o != (Options{}) {
			t.Errorf("%q: a value beside the error %v", s, err)
		}
		if err == nil && (!strings.HasPrefix(o.Root, "/dev/") || !validUser(o.User)) {
			t.Errorf("%q: %+v", s, o)
		}
	})
}

// probe reads what mkfs writes.
func TestProbe(t *testing.T) {
	if got := probe(make([]byte, probeBytes)); got != (content{blank: true}) {
		t.Errorf("zeros: %+v", got)
	}
	junk := make([]byte, probeBytes)
	junk[probeBytes-1] = 1
	if got := probe(junk); got != (content{}) {
		t.Errorf("junk: %+v", got)
	}
	if got := probe([]byte{1, 2, 3}); got != (content{}) {
		t.Errorf("three bytes: %+v", got)
	}
	if _, err := exec.LookPath("mke2fs"); err != nil {
		t.Skip("e2fsprogs is missing: no file system to look at")
	}
	img := filepath.Join(t.TempDir(), "img")
	for _, block := range []string{"1024", "4096"} {
		os.Remove(img)
		if out, err := exec.Command("mke2fs", "-q", "-t", "ext4", "-b", block, img, "20M").CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		b, err := os.ReadFile(img)
		if err != nil {
			t.Fatal(err)
		}
		if got := probe(b[:probeBytes]); got != (content{ext: true, bytes: 20 << 20}) {
			t.Errorf("block size %s: %+v", block, got)
		}
		b[superState] |= stateErrors
		if got := probe(b[:probeBytes]); !got.errors {
			t.Errorf("with errors: %+v", got)
		}
		binary.LittleEndian.PutUint32(b[superLogBlock:], 40)
		if got := probe(b[:probeBytes]); got != (content{}) {
			t.Errorf("with absurd blocks: %+v", got)
		}
	}
}

func FuzzProbe(f *testing.F) {
	f.Add(make([]byte, 4096))
	b := make([]byte, 4096)
	binary.LittleEndian.PutUint16(b[superMagic:], extMagic)
	f.Add(b)
	f.Fuzz(func(t *testing.T, b []byte) {
		if c := probe(b); c.blank && c.ext {
			t.Error("blank and a file system")
		}
	})
}

func TestSwapHeader(t *testing.T) {
	for _, size := range []int64{0, swapMinSize - 1} {
		if h, err := swapHeader(size); err == nil || h != nil {
			t.Errorf("%d bytes were accepted", size)
		}
	}
	for size, last := range map[int64]uint32{swapMinSize: 15, 10 << 30: 1<<30/4096 - 1} {
		h, err := swapHeader(size)
		if err != nil || len(h) != 4096 || binary.LittleEndian.Uint32(h[1028:]) != last || string(h[4086:]) != "SWAPSPACE2" {
			t.Errorf("%d bytes: last page %d, %v", size, binary.LittleEndian.Uint32(h[1028:]), err)
		}
	}
	if _, err := exec.LookPath("blkid"); err != nil {
		return
	}
	h, _ := swapHeader(1 << 20)
	img := filepath.Join(t.TempDir(), "swap")
	os.WriteFile(img, append(h, make([]byte, 1<<20-4096)...), 0o600)
	if out, err := exec.Command("blkid", "-p", img).CombinedOutput(); err != nil || !strings.Contains(string(out), `TYPE="swap"`) {
		t.Errorf("blkid says %s, %v", out, err)
	}
}

func TestPowerPressed(t *testing.T) {
	ev := func(typ, code uint16, value uint32) []byte {
		b := make([]byte, inputEventSize)
		binary.LittleEndian.PutUint16(b[16:], typ)
		binary.LittleEndian.PutUint16(b[18:], code)
		binary.LittleEndian.PutUint32(b[20:], value)
		return b
	}
	press, release, other, sync := ev(evKey, keyPower, 1), ev(evKey, keyPower, 0), ev(evKey, 30, 1), ev(0, 0, 0)
	for name, tc := range map[string]struct {
		b    []byte
		want bool
	}{
		"press": {press, true}, "release": {release, false}, "key": {other, false}, "nothing": {nil, false},
		"later": {append(append(other, sync...), press...), true}, "cut off": {press[:23], false},
	} {
		if powerPressed(tc.b) != tc.want {
			t.Errorf("%s: want %v", name, tc.want)
		}
	}
}

func TestBackoff(t *testing.T) {
	now := time.Unix(0, 0)
	p := program{}
	var got []time.Duration
	for range 8 {
		p.started = now
		p.ended(now.Add(time.Second))
		got = append(got, p.delay)
	}
	ms := time.Millisecond
	if want := []time.Duration{200 * ms, 400 * ms, 800 * ms, 1600 * ms, 3200 * ms, 6400 * ms, maxDelay, maxDelay}; !reflect.DeepEqual(got, want) {
		t.Errorf("delays %v", got)
	}
	p.started = now
	if p.ended(now.Add(steady)); p.delay != firstDelay {
		t.Errorf("after a steady run the delay is %v", p.delay)
	}
}

func TestSeedHome(t *testing.T) {
	dir := t.TempDir()
	src, dst, tmp := filepath.Join(dir, "home"), filepath.Join(dir, "rw/home"), filepath.Join(dir, "rw/.home.new")
	for _, d := range []string{filepath.Join(src, "user/.config"), filepath.Join(tmp, "half")} {
		if err := os.MkdirAll(d, 0o750); err != nil {
			t.Fatal(err)
		}
	}
	os.WriteFile(filepath.Join(src, "user/.bashrc"), []byte("hi"), 0o640)
	os.Symlink(".bashrc", filepath.Join(src, "user/link"))
	if os.Geteuid() == 0 {
		os.Chown(filepath.Join(src, "user"), 1000, 1001)
	}
	if err := seedHome(src, dst, tmp); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(filepath.Join(dst, "user/.bashrc"))
	if err != nil || info.Mode().Perm() != 0o640 {
		t.Errorf("%v, %v", info, err)
	}
	if to, err := os.Readlink(filepath.Join(dst, "user/link")); err != nil || to != ".bashrc" {
		t.Errorf("%q, %v", to, err)
	}
	if _, err := os.Lstat(filepath.Join(dst, "half")); err == nil {
		t.Error("the rest of an interrupted copy came along")
	}
	os.WriteFile(filepath.Join(src, "user/new"), nil, 0o600)
	if err := seedHome(src, dst, tmp); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Lstat(filepath.Join(dst, "user/new")); err == nil {
		t.Error("an existing home was touched")
	}
}
