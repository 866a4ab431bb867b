package guest_test

import (
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"qubist/assets/guest"
)

// service runs a service's script with programs of the test's own in front of PATH.
func service(t *testing.T, programs map[string]string, name, stdin string, args ...string) (out string, code int) {
	t.Helper()
	dir := t.TempDir()
	for p, text := range programs {
		if err := os.WriteFile(filepath.Join(dir, p), []byte("#!/bin/sh\n"+text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	script, err := fs.ReadFile(guest.Files, "qubes-rpc/"+name)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, name)
	if err := os.WriteFile(file, script, 0o755); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("/bin/sh", append([]string{file}, args...)...)
	cmd.Env = []string{"PATH=" + dir + ":/usr/bin:/bin"}
	cmd.Stdin = strings.NewReader(stdin)
	b, err := cmd.Output()
	if _, exit := err.(*exec.ExitError); err != nil && !exit {
		t.Fatal(err)
	}
	return string(b), cmd.ProcessState.ExitCode()
}

func TestOpenURL(t *testing.T) {
	browser := map[string]string{"xdg-open": `printf 'opened [%s] %s' "$1" $#`}
	for in, want := range map[string]string{
		"https://example.org/?a=b&c;d$(id)\nmore\n": "opened [https://example.org/?a=b&c;d$(id)] 1",
		"http://a":              "opened [http://a] 1",
		"ftp://a\n":             "opened [ftp://a] 1",
		"":                      "",
		"https://\n":            "",
		"file:///etc/passwd\n":  "",
		"--help\n":              "",
		"javascript:alert(1)\n": "",
		" https://a\n":          "",
		"https://a b\n":         "",
		"https://a\x1b[2J\n":    "",
		"https://é\n":           "",
		"HTTPS://a\n":           "",
	} {
		got, code := service(t, browser, "qubes.OpenURL", in)
		if got != want || (code == 0) != (want != "") {
			t.Errorf("%q: %q, %d, want %q", in, got, code, want)
		}
	}
}

// clock is a date program at a known time, which tells what it is asked to set.
const clock = `case "$*" in
'-u +%Y%m%d%H%M%S') echo 20261121140000 ;;
*' -s '* | '-s '*) echo "set $*" >&2; echo "$3" > "$SET" ;;
*) exec /bin/date "$@" ;;
esac
`

func TestSetDateTime(t *testing.T) {
	for in, want := range map[string]string{
		"2026-11-21T14:00:02+00:00\n":           "",
		"2026-11-21T13:59:59+00:00\n":           "2026-11-21T13:59:59+00:00\n", // 41 apart in this arithmetic
		"2026-11-21T15:00:00+00:00\n":           "2026-11-21T15:00:00+00:00\n",
		"2026-11-21T15:00:00,123456789+01:00\n": "",
		"2026-11-21T14:10:00Z\n":                "2026-11-21T14:10:00Z\n",
		"tomorrow\n":                            "refused",
		"2026-11-21T14:10:00 yesterday\n":       "refused",
		"2026-11-21T14:10:00$(id)\n":            "refused",
		"2026-99-21T14:10:00Z\n":                "refused",
		"":                                      "refused",
	} {
		set := filepath.Join(t.TempDir(), "set")
		_, code := service(t, map[string]string{"date": "SET=" + set + "\n" + clock}, "qubes.SetDateTime", in)
		got, _ := os.ReadFile(set)
		if want == "refused" {
			if code == 0 || len(got) > 0 {
				t.Errorf("%q: %d, set %q, want a refusal", in, code, got)
			}
			continue
		}
		if code != 0 || string(got) != want {
			t.Errorf("%q: %d, set %q, want %q", in, code, got, want)
		}
	}
}

func TestGetDate(t *testing.T) {
	for argument, form := range map[string]string{"": "????-??-??T??:??:??+00:00\n", "ns": "????-??-??T??:??:??,?????????+00:00\n"} {
		out, code := service(t, nil, "qubes.GetDate", "", argument)
		if ok, err := filepath.Match(form, out); !ok || err != nil || code != 0 {
			t.Errorf("argument %q: %q, %d", argument, out, code)
		}
	}
}

func TestFilecopyArguments(t *testing.T) {
	for _, argument := range []string{"x", "--allow-unsafe-symlinks", "allow-all-names --x"} {
		if _, code := service(t, nil, "qubes.Filecopy", "", argument); code != 1 {
			t.Errorf("argument %q: %d, want 1", argument, code)
		}
	}
}
