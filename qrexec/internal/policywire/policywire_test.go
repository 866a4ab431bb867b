package policywire_test

import (
	"errors"
	"strings"
	"testing"

	"qubist/qrexec/internal/policywire"
)

const good = "source=work\nintended_target=vault\nservice_and_arg=x.Y+a\n"

func TestParseRequest(t *testing.T) {
	base := policywire.Request{Source: "work", IntendedTarget: "vault", ServiceAndArg: "x.Y+a"}
	both := base
	both.AssumeYes, both.JustEvaluate, both.RequestedSource = true, true, "remote"
	for text, want := range map[string]policywire.Request{
		good + "\n":           base,
		good:                  base,
		good[:len(good)-1]:    base,
		good + "\njunk\n\xff": base,
		good + "assume_yes_for_ask=yes\njust_evaluate=yes\nrequested_source=remote\n\n": both,
	} {
		if got, err := policywire.ParseRequest([]byte(text)); err != nil || got != want {
			t.Errorf("%q: got %+v, %v", text, got, err)
		}
	}
	for _, text := range []string{
		"", "\n", "\n" + good, good + good, good + "source=x\n", good + "color=red\n", good + "x\n", good + "\r\n",
		good + "just_evaluate=\n", good + "just_evaluate=True\n", "source=w\xc3\xb6rk\n" + good[12:],
		"source=" + strings.Repeat("a", policywire.MaxLine) + "\n" + good[12:],
	} {
		if got, err := policywire.ParseRequest([]byte(text)); !errors.Is(err, policywire.ErrMalformed) || got != (policywire.Request{}) {
			t.Errorf("%.60q: got %+v, %v", text, got, err)
		}
	}
}

func TestComplete(t *testing.T) {
	for text, want := range map[string]bool{
		"": false, good: false, good + "\n": true, "\n": true, good + "\nmore": true,
		"source=" + strings.Repeat("a", policywire.MaxLine): true,
		strings.Repeat("a=b\n", policywire.MaxRequest/4):    true,
	} {
		if got := policywire.Complete([]byte(text)); got != want {
			t.Errorf("%.40q: got %v", text, got)
		}
	}
}

// FuzzParse: no input makes a parser fail otherwise than by ErrMalformed, and an accepted
// evaluation only names words within their limits.
func FuzzParse(f *testing.F) {
	f.Add([]byte(good + "\n"))
	f.Add([]byte("policy.EvalSimple+t.Ask sys-gui name dom0\x00work\x00vault"))
	f.Fuzz(func(t *testing.T, data []byte) {
		if r, err := policywire.ParseRequest(data); err != nil && (!errors.Is(err, policywire.ErrMalformed) || r != policywire.Request{}) {
			t.Fatalf("got %+v, %v", r, err)
		}
		e, err := policywire.ParseEval(data)
		if err == nil && (e.Query == "" || e.Caller == "" || len(e.Source) > 31 || len(e.Target) > 63 || strings.ContainsAny(e.Source+e.Target, "\x00 :")) {
			t.Fatalf("accepted %+v", e)
		}
	})
}
