package qvm_test

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"qubist/core/adminapi"
	"qubist/core/adminclient"
	"qubist/core/internal/qvm"
)

// use runs a tool against a server and gives its exit status and output.
func use(t *testing.T, root, stdin string, argv ...string) (int, string) {
	t.Helper()
	var out bytes.Buffer
	code := qvm.Main(t.Context(), qvm.Env{Stdin: strings.NewReader(stdin), Stdout: &out, Stderr: &out,
		Run: func(_ context.Context, r adminclient.Run) (int, error) {
			if r.Stdout != nil {
				_, _ = r.Stdout.Write([]byte("/dev/loop7\n"))
			}
			return 0, nil
		}}, append([]string{argv[0], "--root", root}, argv[1:]...))
	return code, out.String()
}

const (
	nothing  = "\x00" // no output at all
	stick    = "sda:1234:5678:ABC:b****** device_id='1234:5678:ABC:b******' port_id='sda' devclass='block' backend_domain='sys-usb' vendor='Ac\\'me' product='Stick' serial='unknown' interfaces='b******'\n"
	stickUse = "sys-usb+sda:1234:5678:ABC:b****** device_id='1234:5678:ABC:b******' port_id='sda' devclass='block' backend_domain='sys-usb' mode='%' frontend_domain='work' _read-only='yes'\n"
	given    = "device_id='1234:5678:ABC:b******' port_id='sda' devclass='block' backend_domain='sys-usb' mode="
)

// TestTools runs tools that no recording covers: what they print, how they end and what
// they change.
func TestTools(t *testing.T) {
	full := func(s *server) {
		s.devices["Available sys-usb"] = stick
		s.devices["Available dom0"] = "loop7:0000:0000::?****** device_id='0000:0000::?******' port_id='loop7' devclass='block' backend_domain='dom0'\n"
		s.devices["Attached work"] = strings.Replace(stickUse, "%", "manual", 1)
		s.devices["Assigned work"] = strings.Replace(stickUse, "%", "required", 1)
	}
	for _, c := range []struct {
		name    string
		argv    string // split at "|" when it has one, else at spaces
		stdin   string
		exit    int
		out     string // "" for anything
		changes []string
	}{
		{name: "block list", argv: "qvm-block list work sys-usb", out: "sys-usb:sda  Ac'me Stick  work (attached: read-only=yes)\n"},
		{name: "block list json", argv: "qvm-block --json ls sys-usb", out: "[\n  {\n    \"backend_devid\": \"sys-usb:sda\",\n    \"description\": \"Ac'me Stick\",\n    \"used_by\": \"work (attached: read-only=yes)\"\n  }\n]\n"},
		{name: "attach", argv: "qvm-block attach vault sys-usb:sda --ro", changes: []string{
			"vm.device.block.Attach+sys-usb+sda+1234+5678+ABC+b______ vault \"" + given + "'manual' frontend_domain='vault' _read-only='yes'\""}},
		{name: "attach for good", argv: "qvm-device block a -p vault sys-usb:sda", changes: []string{
			"vm.device.block.Attach+sys-usb+sda+1234+5678+ABC+b______ vault \"" + given + "'manual' frontend_domain='vault'\"",
			"vm.device.block.Assign+sys-usb+sda+1234+5678+ABC+b______ vault \"" + given + "'required' frontend_domain='vault'\""}},
		{name: "attach nothing", argv: "qvm-block attach vault sys-usb:sdb", exit: 1, out: "Error: backend vm sys-usb doesn't expose block device 'sdb'\n"},
		{name: "attach another", argv: "qvm-block attach vault sys-usb:sda:0000:0000::?******", exit: 1},
		{name: "assign ask", argv: "qvm-block assign --ask -o frontend-dev=xvdz vault sys-usb:sda", changes: []string{
			"vm.device.block.Assign+sys-usb+sda+1234+5678+ABC+b______ vault \"" + given + "'ask-to-attach' frontend_domain='vault' _frontend-dev='xvdz'\""}},
		{name: "assign port", argv: "qvm-block assign --port vault sys-usb:sdz", changes: []string{
			"vm.device.block.Assign+sys-usb+sdz+_ vault \"device_id='*' port_id='sdz' devclass='block' backend_domain='sys-usb' mode='auto-attach' frontend_domain='vault'\""}},
		{name: "assign device", argv: "qvm-block assign --device vault sys-usb:sda", changes: []string{
			"vm.device.block.Assign+sys-usb+_+1234+5678+ABC+b______ vault \"device_id='1234:5678:ABC:b******' port_id='*' devclass='block' backend_domain='sys-usb' mode='auto-attach' frontend_domain='vault'\""}},
		{name: "detach", argv: "qvm-block detach work sys-usb:sda", changes: []string{"vm.device.block.Detach+sys-usb+sda+1234+5678+ABC+b______ work"}},
		{name: "detach other", argv: "qvm-block detach work sys-usb:sdb", exit: 1, out: "Error: sys-usb:sdb:* is not attached\n"},
		{name: "unassign all", argv: "qvm-block unassign work", changes: []string{"vm.device.block.Unassign+sys-usb+sda+1234+5678+ABC+b______ work"}},
		{name: "classes", argv: "qvm-device --list-device-classes", out: "block\npci\n"},
		{name: "device info", argv: "qvm-usb info sys-usb sys-usb:sda", out: "backend_domain  sys-usb\ndevclass        block\ndevice_id       1234:5678:ABC:b******\ninterfaces      b******\nport_id         sda\nproduct         Stick\nserial          unknown\nvendor          Ac'me\n"},

		{name: "rule before", argv: "qvm-firewall work add --before 0 drop dsthost=2001:db8::1 proto=udp dstports=53", changes: []string{
			`vm.firewall.Set+ work "action=drop proto=udp dst6=2001:db8::1/128 dstports=53-53\naction=accept\n"`}},
		{name: "rule by text", argv: "qvm-firewall work del action=accept", changes: []string{"vm.firewall.Set+ work"}},
		{name: "rule with comment", argv: "qvm-firewall|work|add|accept|dsthost=example.org|comment=a b", changes: []string{`vm.firewall.Set+ work "action=accept\naction=accept dsthost=example.org comment=a b\n"`}},
		{name: "no such rule", argv: "qvm-firewall work del --rule-no 7", exit: 2},
		{name: "bad rule", argv: "qvm-firewall work add accept bogus=1", exit: 2},

		{name: "notes", argv: "qvm-notes|work|--set|remember\nthis", changes: []string{`vm.notes.Set+ work "remember\nthis"`}},
		{name: "notes append", argv: "qvm-notes|--append|more|banking", changes: []string{`vm.notes.Set+ banking "hostile _[31m\x1b[31m\nmore"`}},
		{name: "notes print", argv: "qvm-notes -p banking", out: "hostile _[31m_[31m\n"},
		{name: "notes kept", argv: "qvm-notes -d work", stdin: "n\n", exit: 1},
		{name: "notes from stdin", argv: "qvm-notes -i - work", stdin: "text", changes: []string{`vm.notes.Set+ work "text"`}},

		{name: "volume clone", argv: "qvm-volume clone -f work:private vault:private", changes: []string{"vm.volume.CloneFrom+private work", `vm.volume.CloneTo+private vault "token"`}},
		{name: "volume clear", argv: "qvm-volume clear work:private", stdin: "y\n", changes: []string{"vm.volume.Clear+private work"}},
		{name: "no such volume", argv: "qvm-volume info work:nosuch", exit: 2},
		{name: "shrink", argv: "qvm-volume resize -f work:private 1GB", changes: []string{`vm.volume.Resize+private work "1000000000"`}},
		{name: "bad size", argv: "qvm-volume resize work:private 99999999TiB", exit: 2},
		{name: "pool add", argv: "qvm-pool add p file -o dir_path=/x", changes: []string{`pool.Add+file dom0 "name=p\ndir_path=/x\n"`}},
		{name: "pool add old", argv: "qvm-pool -a p file -o dir_path=/x", changes: []string{`pool.Add+file dom0 "name=p\ndir_path=/x\n"`}},
		{name: "no such pool", argv: "qvm-pool rm nosuch", exit: 2},

		{name: "clone", argv: "qvm-clone fedora-42 new", changes: []string{
			`vm.Create.TemplateVM+ dom0 "name=new label=gray"`, "vm.tag.Set+audiovm-dom0 new", "vm.tag.Set+guivm-dom0 new", `vm.feature.Set+qrexec new "1"`, `vm.feature.Set+gui new "1"`,
			`vm.feature.Set+os new "Linux"`, `vm.feature.Set+vmexec new "1"`, `vm.feature.Set+qubes-firewall new "1"`, `vm.feature.Set+supported-service.meminfo-writer new "1"`,
			`vm.feature.Set+supported-rpc.qubes.WaitForRunningSystem new "1"`, `vm.feature.Set+supported-rpc.qubes.WaitForSession new "1"`, `vm.feature.Set+os-distribution new "debian"`,
			`vm.feature.Set+os-version new "12"`, `vm.firewall.Set+ new "action=accept\n"`, "vm.volume.CloneFrom+root fedora-42", `vm.volume.CloneTo+root new "token"`,
			"vm.volume.CloneFrom+private fedora-42", `vm.volume.CloneTo+private new "token"`}},
		{name: "create in pools", argv: "qvm-create -l red -t debian-12 -p private=pool2 -p root=pool2 new", changes: []string{`vm.CreateInPool.AppVM+debian-12 dom0 "name=new label=red pool:private=pool2 pool:root=pool2"`}},
		{name: "start with a drive", argv: "qvm-start --cdrom dom0:/dev/loop7 vault", changes: []string{
			`vm.device.block.Assign+dom0+loop7+_ vault "device_id='*' port_id='loop7' devclass='block' backend_domain='dom0' mode='required' frontend_domain='vault' _devtype='cdrom' _read-only='yes'"`,
			"vm.Start+ vault", "vm.device.block.Unassign+dom0+loop7+_ vault"}},
		{name: "shutdown all", argv: "qvm-shutdown --all", changes: []string{"vm.Shutdown+force sys-firewall", "vm.Shutdown+force sys-net", "vm.Shutdown+force sys-usb", "vm.Shutdown+force work"}},
		{name: "dry run", argv: "qvm-shutdown --dry-run work"},
		{name: "check some", argv: "qvm-check --running work vault", exit: 3, out: "qvm-check: work: running\n"},
		{name: "check quietly", argv: "qvm-check -q --running work vault", exit: 3, out: nothing},
		{name: "remove refused", argv: "qvm-remove vault", stdin: "\n", exit: 1},
		{name: "remove", argv: "qvm-remove vault", stdin: "y\n", changes: []string{"vm.Remove+ vault"}},
		{name: "prefix of a switch", argv: "qvm-ls --raw-l --hal --class TemplateVM", out: "debian-12\nfedora-42\n"},
		{name: "ambiguous", argv: "qvm-ls --raw", exit: 2},
		{name: "filters", argv: "qvm-ls --raw-list --features os=Linux --exclude-tags work", out: "debian-12\nfedora-42\n"},
		{name: "by property", argv: "qvm-ls --raw-list --netvm-is sys-net", out: "sys-firewall\n"},
		{name: "flags", argv: "qvm-ls -O name,flags,disk work", out: "NAME  FLAGS     DISK\nwork  ar------  0\n"},
		{name: "sorted", argv: "qvm-ls --raw-list --sort name --reverse work banking", out: "work\nbanking\n"},
		{name: "hostile label", argv: "qvm-prefs banking label", out: "re_[2J__\u00e9d\n"},
		{name: "hostile json", argv: "qvm-prefs --json banking label", out: `"re\u001b[2J\u202e\n\u00e9d"` + "\n"},
		{name: "hostile table", argv: "qvm-ls banking", out: "NAME     STATE   CLASS  LABEL       TEMPLATE   NETVM\nbanking  Halted  AppVM  re_[2J__\u00e9d  fedora-42  sys-firewall\n"},
		{name: "hostile error", argv: "qvm-features banking bad x", exit: 1, out: "qvm-features: error: no_[31m_\n"},
		{name: "event", argv: "qubes-event --once --event domain-start", out: "work  domain-start  start_guid=Tr_e\n"},
		{name: "event json", argv: "qubes-event --json --once", out: "{\n  \"args\": {},\n  \"event\": \"other\",\n  \"subject\": \"\"\n}\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newServer(t)
			full(s)
			s.vms["banking"].Props["label"] = [3]any{"label", false, "re\x1b[2J\u202e\néd"}
			s.vms["banking"].notes = "hostile _[31m\x1b[31m"
			s.answers["admin.vm.feature.Set+bad banking"] = &adminapi.Error{Kind: adminapi.ValueError, Message: "no\x1b[31m\n"}
			s.answers["admin.Events+ dom0"] = "1\x00\x00connection-established\x00\x00" + "1\x00\x00other\x00\x00" + "1\x00work\x00domain-start\x00start_guid\x00Tr\x07e\x00\x00"
			argv := strings.Fields(c.argv)
			if strings.Contains(c.argv, "|") {
				argv = strings.Split(c.argv, "|")
			}
			code, out := use(t, s.listen(), c.stdin, argv...)
			if code != c.exit {
				t.Errorf("exit %d, want %d", code, c.exit)
			}
			if want := strings.TrimPrefix(c.out, nothing); c.out != "" && out != want {
				t.Errorf("output %q\nwant   %q", out, want)
			}
			var changes []string
			for _, q := range s.take() {
				if !reading.MatchString(q.Method) && q.Method != "admin.Events" {
					changes = append(changes, q.String())
				}
			}
			if c.name == "shutdown all" { // several at a time
				slices.Sort(changes)
			}
			if code == 0 && !slices.Equal(changes, c.changes) || code != 0 && c.changes != nil && !slices.Equal(changes, c.changes) {
				t.Errorf("changes\n%s\nwant\n%s", strings.Join(changes, "\n"), strings.Join(c.changes, "\n"))
			}
			if t.Failed() {
				t.Logf("output: %s", out)
			}
		})
	}
}

// TestImport follows an import: the place qubesd names gets the data, short or long input
// is reported to it as a failure.
func TestImport(t *testing.T) {
	for _, c := range []struct {
		name, data, begin, end string
		size                   string
		exit                   int
	}{
		{"whole", "data", "4", "ok", "4", 0},
		{"short", "data", "9", "fail\nnot enough data (copied 4 bytes, expected 9 bytes)", "9", 1},
		{"long", "data", "2", "fail\ntoo much data (expected 2 bytes)", "2", 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newServer(t)
			dir := t.TempDir()
			target, file := filepath.Join(dir, "import"), filepath.Join(dir, "file")
			for name, text := range map[string]string{target: "", file: c.data} {
				if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			s.answers["internal.vm.volume.ImportBegin+private vault"] = c.begin + " " + target
			s.answers["internal.vm.volume.ImportEnd+private vault"] = ""
			code, out := use(t, s.listen(), "", "qvm-volume", "import", "--size", c.size, "vault:private", file)
			if code != c.exit {
				t.Errorf("exit %d, want %d: %s", code, c.exit, out)
			}
			seen := s.take()
			if got := seen[len(seen)-1]; got.Method != "internal.vm.volume.ImportEnd" || got.Payload != c.end {
				t.Errorf("last request %v, want ImportEnd %q", got, c.end)
			}
			if b, _ := os.ReadFile(target); c.exit == 0 && string(b) != c.data {
				t.Errorf("imported %q", b)
			}
		})
	}
}

// TestCompletionScripts: shells that are installed can read their script.
func TestCompletionScripts(t *testing.T) {
	for _, shell := range []string{"bash", "zsh", "fish"} {
		code, script := use(t, t.TempDir(), "", "qvm-completion", shell)
		if code != 0 || !strings.Contains(script, "qvm-ls") || !strings.Contains(script, "raw-list") {
			t.Errorf("%s: exit %d: %.200s", shell, code, script)
		}
		path, err := exec.LookPath(shell)
		if err != nil {
			t.Logf("%s is not installed; its script is not read", shell)
			continue
		}
		cmd := exec.Command(path, "-n")
		cmd.Stdin = strings.NewReader(script)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%s: %v\n%s", shell, err, out)
		}
	}
	bash, err := exec.LookPath("bash")
	if err != nil {
		t.Skip("bash is not installed")
	}
	_, script := use(t, t.TempDir(), "", "qvm-completion", "bash")
	out, err := exec.Command(bash, "-c", script+`
qvm-ls() { echo work; echo vault; }
COMP_WORDS=(qvm-volume wo); COMP_CWORD=1; _qvm; echo "${COMPREPLY[@]}"
COMP_WORDS=(qvm-volume re); COMP_CWORD=1; _qvm; echo "${COMPREPLY[@]}"
COMP_WORDS=(qvm-ls --raw-); COMP_CWORD=1; _qvm; echo "${COMPREPLY[@]}"`).CombinedOutput()
	if want := "work\nresize revert\n--raw-data --raw-list\n"; err != nil || string(out) != want {
		t.Errorf("completed %q, want %q (%v)", out, want, err)
	}
}

// TestPages: every tool has a manual page that names all its switches, and a help text.
func TestPages(t *testing.T) {
	dir := t.TempDir()
	if code, out := use(t, dir, "", "qvm-man", filepath.Join(dir, "man1")); code != 0 {
		t.Fatalf("exit %d: %s", code, out)
	}
	for _, tool := range qvm.Tools() {
		b, err := os.ReadFile(filepath.Join(dir, "man1", tool+".1"))
		if err != nil {
			t.Fatal(err)
		}
		_, help := use(t, dir, "", tool, "--help")
		page := strings.ReplaceAll(string(b), `\-`, "-")
		for _, l := range strings.Split(help, "\n") {
			if l = strings.TrimSpace(l); strings.HasPrefix(l, "-") && !strings.Contains(page, strings.ReplaceAll(l, "…", "...")) {
				t.Errorf("%s: the page lacks %q", tool, l)
			}
		}
		if !strings.HasPrefix(page, ".TH ") || !strings.Contains(help, "usage: "+tool) {
			t.Errorf("%s: page %.100q, help %.100q", tool, page, help)
		}
	}
}

// TestNames: what --list-tools prints is what is installed; each is also "qvm NAME".
func TestNames(t *testing.T) {
	var out bytes.Buffer
	if code := qvm.Main(t.Context(), qvm.Env{Stdout: &out}, []string{"qvm", "--list-tools"}); code != 0 || strings.TrimSpace(out.String()) != strings.Join(qvm.Tools(), "\n") {
		t.Errorf("exit %d: %s", code, out.String())
	}
	s := newServer(t)
	root := s.listen()
	for _, argv := range [][]string{{"qvm", "ls"}, {"/usr/bin/qvm", "qvm-ls"}, {"/usr/bin/qvm-ls"}} {
		var out bytes.Buffer
		code := qvm.Main(t.Context(), qvm.Env{Stdout: &out, Stderr: &out}, append(argv, "--root", root, "--json", "--fields", "name", "work"))
		var v []map[string]string
		if err := json.Unmarshal(out.Bytes(), &v); code != 0 || err != nil || len(v) != 1 || v[0]["name"] != "work" {
			t.Errorf("%q: exit %d, %v: %s", argv, code, err, out.String())
		}
	}
	var errs bytes.Buffer
	if code := qvm.Main(t.Context(), qvm.Env{Stderr: &errs}, []string{"qvm", "nosuch"}); code != 2 || !strings.Contains(errs.String(), "qvm-ls") {
		t.Errorf("exit %d: %s", code, errs.String())
	}
}
