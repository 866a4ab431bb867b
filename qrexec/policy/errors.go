package policy

import "fmt"

// Reason is why a policy cannot be loaded or a call is denied, as one stable word.
type Reason string

// Reasons of an Error: the policy cannot be loaded, so every call is denied.
const (
	ReasonFieldCount      Reason = "field-count"
	ReasonServiceChars    Reason = "service-chars"
	ReasonArgumentChars   Reason = "argument-chars"
	ReasonArgumentPlus    Reason = "argument-plus"
	ReasonStarArgument    Reason = "star-service-argument"
	ReasonAction          Reason = "action"
	ReasonParamSyntax     Reason = "param-syntax"
	ReasonParamDuplicate  Reason = "param-duplicate"
	ReasonParamBool       Reason = "param-bool"
	ReasonParamUnknown    Reason = "param-unknown"
	ReasonDefaultTarget   Reason = "default-without-target"
	ReasonDirective       Reason = "directive"
	ReasonDirectiveParams Reason = "directive-params"
	ReasonIncludeFile     Reason = "include-not-file"
	ReasonIncludeDir      Reason = "include-not-dir"
	ReasonIncludeLoop     Reason = "include-loop"
	ReasonFileName        Reason = "file-name"
	ReasonEncoding        Reason = "encoding"
	ReasonTooLarge        Reason = "too-large"
	ReasonOS              Reason = "os-error"
)

// Reasons of both: a token is malformed, in a policy file or as a call's target.
const (
	ReasonTokenInvalid Reason = "token-invalid"
	ReasonTokenEmpty   Reason = "token-empty"
)

// Reasons of a denying Verdict or of a refused Response.
const (
	ReasonRule            Reason = "rule"
	ReasonNoMatch         Reason = "no-match"
	ReasonNoTarget        Reason = "no-target"
	ReasonNoDispVMBase    Reason = "no-dispvm-base"
	ReasonNotTemplate     Reason = "not-dispvm-template"
	ReasonAutostart       Reason = "autostart"
	ReasonNoAskTarget     Reason = "no-ask-target"
	ReasonNotOffered      Reason = "not-offered"
	ReasonLoopback        Reason = "loopback"
	ReasonNoRelayVM       Reason = "no-relayvm"
	ReasonNoTransportRPC  Reason = "no-transport-rpc"
	ReasonSourceUnknown   Reason = "requested-source-unknown"
	ReasonSourceNotRemote Reason = "requested-source-not-remote"
	ReasonNotRelay        Reason = "not-relay"
	ReasonNoSuchQube      Reason = "no-such-qube" // a redirect or source that cannot be resolved
	reasonNone            Reason = ""
)

var reasonText = map[Reason]string{
	ReasonFieldCount:      "a rule needs service, argument, source, target and action",
	ReasonServiceChars:    "the service name has a character that is not a letter, digit, '-', '.' or '_'",
	ReasonArgumentChars:   "the argument has a character that is not a letter, digit, '+', '-', '.' or '_'",
	ReasonArgumentPlus:    "the argument must be '*' or start with '+'",
	ReasonStarArgument:    "a rule for every service must have the argument '*'",
	ReasonAction:          "the action must be allow, deny or ask",
	ReasonParamSyntax:     "a parameter must be key=value",
	ReasonParamDuplicate:  "a parameter is given twice",
	ReasonParamBool:       "the parameter must be yes or no",
	ReasonParamUnknown:    "the action has no such parameter",
	ReasonDefaultTarget:   "allow for @default needs target=",
	ReasonDirective:       "unknown directive, or not allowed here",
	ReasonDirectiveParams: "wrong number of words after the directive",
	ReasonIncludeFile:     "the included file cannot be read",
	ReasonIncludeDir:      "the included directory cannot be read",
	ReasonIncludeLoop:     "the file includes itself",
	ReasonFileName:        "a policy file name may only have 'a' to 'z', digits, '_', '.' and '-'",
	ReasonEncoding:        "the file is not UTF-8",
	ReasonTooLarge:        "the policy is too large",
	ReasonOS:              "the policy cannot be read",
	ReasonTokenInvalid:    "not a valid name or token in this place",
	ReasonTokenEmpty:      "the value is empty",
	ReasonRule:            "denied by the rule",
	ReasonNoMatch:         "no rule matched",
	ReasonNoTarget:        "the call names no target and the rule gives none",
	ReasonNoDispVMBase:    "the source has no default disposable template",
	ReasonNotTemplate:     "the target is not a disposable template",
	ReasonAutostart:       "the target is not running and the rule forbids to start it",
	ReasonNoAskTarget:     "no possible target to ask for",
	ReasonNotOffered:      "the chosen target was not offered",
	ReasonLoopback:        "source and target are the same qube",
	ReasonNoRelayVM:       "the remote target has no relay",
	ReasonNoTransportRPC:  "the remote target has no transport service",
	ReasonSourceUnknown:   "the requested source does not exist",
	ReasonSourceNotRemote: "the requested source is not a remote qube",
	ReasonNotRelay:        "the caller is not the relay of the requested source",
	ReasonNoSuchQube:      "a qube the decision needs does not exist",
}

// Text is the reason as a sentence without capital and full stop.
func (r Reason) Text() string {
	if t, ok := reasonText[r]; ok {
		return t
	}
	return string(r)
}

// Error says why a policy cannot be loaded. File is a path in the fs.FS and Line counts
// from 1; Line is 0 and File may be a directory when no line is at fault.
type Error struct {
	File   string
	Line   int
	Reason Reason
	Detail string // the offending word, as written; may be empty
	Err    error  // what the file system said, or nil
}

// Error is "file:line: text: detail".
func (e *Error) Error() string {
	s := e.File
	if e.Line > 0 {
		s = fmt.Sprintf("%s:%d", e.File, e.Line)
	}
	s += ": " + e.Reason.Text()
	if e.Detail != "" {
		s += fmt.Sprintf(": %q", clip(e.Detail))
	}
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	return s
}

// Unwrap gives the file system's error.
func (e *Error) Unwrap() error { return e.Err }

// clip bounds text quoted in an error.
func clip(s string) string {
	const limit = 80
	if len(s) > limit {
		return s[:limit] + "..."
	}
	return s
}
