package wire

import (
	"errors"
	"fmt"
	"strings"
)

// MaxAnswer is the longest answer of the policy daemon in bytes (spec qrexec.md §3).
const MaxAnswer = 4095

// ErrAnswer is wrapped by every error of ParseAnswer.
var ErrAnswer = errors.New("malformed policy answer")

// Question is what a daemon asks the policy daemon. Its strings have passed ParseTrigger.
type Question struct {
	Source          string
	RequestedSource string
	HasRequested    bool // version 4: the line is present even when empty
	Target          string
	Service         string
}

// AppendQuestion adds the lines of q and the empty line (spec qrexec.md §9).
func AppendQuestion(dst []byte, q Question) []byte {
	dst = append(dst, "source="+q.Source+"\n"...)
	if q.HasRequested {
		dst = append(dst, "requested_source="+q.RequestedSource+"\n"...)
	}
	dst = append(dst, "intended_target="+q.Target+"\n"...)
	return append(dst, "service_and_arg="+q.Service+"\n\n"...)
}

// Answer is a well-formed policy answer. Everything but Allow is empty in a refusal.
type Answer struct {
	Allow           bool
	User            string
	Target          string
	TargetUUID      string // "uuid:…" or "@dispvm:uuid:…", optional
	RequestedTarget string
	Autostart       bool
	Service         string // replaces service and argument, optional
	PolicySource    string // replaces the source shown to the service, optional
}

// ParseAnswer decodes an answer of at most MaxAnswer bytes. Unknown keys are ignored.
func ParseAnswer(b []byte) (Answer, error) {
	if len(b) > MaxAnswer || strings.IndexByte(string(b), 0) >= 0 {
		return Answer{}, fmt.Errorf("%w: %d bytes or a NUL", ErrAnswer, len(b))
	}
	kv := map[string]string{}
	for _, line := range strings.Split(strings.TrimSuffix(string(b), "\n"), "\n") {
		k, v, ok := strings.Cut(line, "=")
		if !ok {
			return Answer{}, fmt.Errorf("%w: line %q", ErrAnswer, line)
		}
		switch k {
		case "result", "user", "target", "target_uuid", "requested_target", "autostart", "service", "policy_source":
			if _, dup := kv[k]; dup {
				return Answer{}, fmt.Errorf("%w: key %q repeated", ErrAnswer, k)
			}
			kv[k] = v
		}
	}
	return answerOf(kv)
}

func answerOf(kv map[string]string) (Answer, error) {
	needed := []string{"user", "target", "requested_target", "autostart"}
	switch kv["result"] {
	case "deny":
		for _, k := range needed {
			if _, ok := kv[k]; ok {
				return Answer{}, fmt.Errorf("%w: refusal with key %q", ErrAnswer, k)
			}
		}
		return Answer{}, nil
	case "allow":
	default:
		return Answer{}, fmt.Errorf("%w: result %q", ErrAnswer, kv["result"])
	}
	for _, k := range needed {
		if _, ok := kv[k]; !ok {
			return Answer{}, fmt.Errorf("%w: key %q missing", ErrAnswer, k)
		}
	}
	a := Answer{
		Allow: true, User: kv["user"], Target: kv["target"], TargetUUID: kv["target_uuid"],
		RequestedTarget: kv["requested_target"], Autostart: kv["autostart"] == "True",
		Service: kv["service"], PolicySource: kv["policy_source"],
	}
	if !a.Autostart && kv["autostart"] != "False" {
		return Answer{}, fmt.Errorf("%w: autostart %q", ErrAnswer, kv["autostart"])
	}
	if u := a.TargetUUID; u != "" && !isUUID(strings.TrimPrefix(u, "@dispvm:")) {
		return Answer{}, fmt.Errorf("%w: target_uuid %q", ErrAnswer, u)
	}
	return a, nil
}

// isUUID says whether s is "uuid:" and a UUID in its usual spelling.
func isUUID(s string) bool {
	u, ok := strings.CutPrefix(s, "uuid:")
	return ok && ValidUUID(u)
}

// ValidUUID says whether u has the shape 8-4-4-4-12 of hexadecimal digits.
func ValidUUID(u string) bool {
	if len(u) != 36 {
		return false
	}
	for i := range len(u) {
		c := u[i]
		if i == 8 || i == 13 || i == 18 || i == 23 {
			if c != '-' {
				return false
			}
		} else if (c < '0' || c > '9') && (c < 'a' || c > 'f') && (c < 'A' || c > 'F') {
			return false
		}
	}
	return true
}
