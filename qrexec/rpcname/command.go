// Package rpcname reads the names qrexec calls have: the command string an agent is told to
// run, the service descriptor in it, the places a service is looked for, the target of a
// TCP service and a service's configuration file. It is pure: nothing is opened or run.
// The rules are spec qrexec.md §8.
package rpcname

import (
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// Limits in bytes (spec qrexec.md §3).
const (
	MaxDescriptor = 65000
	MaxName       = 255 // a service's name, and any file name
)

// DefaultUser is the user name a daemon replaces by its VM's default user.
const DefaultUser = "DEFAULT"

const keyword = "QUBESRPC"

// ErrCommand is wrapped by every error about a command string.
var ErrCommand = errors.New("invalid command")

// Command is a parsed command string: a service call or a shell command.
type Command struct {
	User  string // empty in dom0
	NoGUI bool   // do not wait for the session
	Call  *Call  // nil for a shell command
	Shell string
}

// Call is a service call.
type Call struct {
	Descriptor string // name or name+arg, as requested
	Name       string
	Arg        string
	HasArg     bool // the descriptor has a '+', even if nothing follows
	Source     string
	Text       string // everything after "QUBESRPC "
}

// ParseVM parses a command in a VM, where "user:" is mandatory.
func ParseVM(s string) (Command, error) {
	user, rest, ok := strings.Cut(s, ":")
	if !ok {
		return Command{}, fmt.Errorf("%w: no user in it", ErrCommand)
	}
	c, err := ParseDom0(rest)
	c.User = user
	return c, err
}

// ParseDom0 parses a command without a user part.
func ParseDom0(s string) (Command, error) {
	var c Command
	s, c.NoGUI = strings.CutPrefix(s, "nogui:")
	text, ok := strings.CutPrefix(s, keyword)
	if !ok {
		c.Shell = s
		return c, nil
	}
	text, ok = strings.CutPrefix(text, " ")
	if !ok {
		return c, fmt.Errorf("%w: %s must be followed by a space", ErrCommand, keyword)
	}
	call, err := parseCall(text)
	if err != nil {
		return c, err
	}
	c.Call = &call
	return c, nil
}

func parseCall(text string) (Call, error) {
	desc, rest, ok := strings.Cut(text, " ")
	if !ok || desc == "" || len(desc) > MaxDescriptor {
		return Call{}, fmt.Errorf("%w: descriptor of %d bytes", ErrCommand, len(desc))
	}
	c := Call{Descriptor: desc, Text: text}
	c.Name, c.Arg, c.HasArg = strings.Cut(desc, "+")
	if c.Name == "" || len(c.Name) > MaxName {
		return Call{}, fmt.Errorf("%w: service name of %d bytes", ErrCommand, len(c.Name))
	}
	c.Source, _, _ = strings.Cut(rest, " ")
	if c.Source == "" {
		return Call{}, fmt.Errorf("%w: no source in it", ErrCommand)
	}
	return c, nil
}

// Requested gives the type ("", "name" or "keyword") and value of the requested target. It
// fails unless the call has exactly two or four words, which only executables need.
func (c Call) Requested() (kind, target string, err error) {
	f := strings.FieldsFunc(c.Text, func(r rune) bool { return r == ' ' })
	switch len(f) {
	case 2:
		return "", "", nil
	case 4:
		return f[2], f[3], nil
	}
	return "", "", fmt.Errorf("%w: %d words, want 2 or 4", ErrCommand, len(f))
}

// FileNames are the names a service's file, or its configuration, may have: first the full
// descriptor, with a '+' even without argument, then the bare name. Each is looked for in
// all directories before the next. Names too long for a file are left out.
//
// A name with a '/' is an error: it would leave the directories.
func (c Call) FileNames() ([]string, error) {
	if strings.ContainsRune(c.Descriptor, '/') || c.Name == "." || c.Name == ".." {
		return nil, fmt.Errorf("%w: service %q is no file name", ErrCommand, c.Descriptor)
	}
	var out []string
	for _, n := range []string{c.Name + "+" + c.Arg, c.Name} {
		if len(n) <= MaxName {
			out = append(out, n)
		}
	}
	return out, nil
}

// Env are the variables an executable service gets. It fails as Requested does.
func (c Call) Env() ([]string, error) {
	kind, target, err := c.Requested()
	if err != nil {
		return nil, err
	}
	env := []string{
		"QREXEC_SERVICE_FULL_NAME=" + c.Descriptor,
		"QREXEC_REMOTE_DOMAIN=" + c.Source,
		"QREXEC_REQUESTED_TARGET_TYPE=" + kind,
	}
	if c.HasArg {
		env = append(env, "QREXEC_SERVICE_ARGUMENT="+c.Arg)
	}
	switch kind {
	case "name":
		env = append(env, "QREXEC_REQUESTED_TARGET="+target)
	case "keyword":
		env = append(env, "QREXEC_REQUESTED_TARGET_KEYWORD="+target)
	}
	return env, nil
}

// TCPPrefix starts the symbolic links that make a service a TCP connection.
const TCPPrefix = "/dev/tcp"

// ParseTCP gives the address a link to TCPPrefix means together with a call's argument.
func ParseTCP(link, arg string) (netip.AddrPort, error) {
	rest, ok := strings.CutPrefix(link, TCPPrefix)
	if !ok || rest != "" && rest[0] != '/' {
		return netip.AddrPort{}, fmt.Errorf("%w: link %q", ErrCommand, link)
	}
	host, port := "", ""
	parts := strings.Split(strings.TrimPrefix(rest, "/"), "/")
	switch {
	case rest == "" || rest == "/":
		i := strings.LastIndexByte(arg, '+')
		if i < 0 || strings.ContainsRune(arg[:i], '_') {
			return netip.AddrPort{}, fmt.Errorf("%w: argument %q is not host+port", ErrCommand, arg)
		}
		host, port = strings.ReplaceAll(arg[:i], "+", ":"), arg[i+1:]
	case len(parts) == 1:
		host, port = parts[0], arg
	case len(parts) == 2 && arg == "":
		host, port = parts[0], parts[1]
	default:
		return netip.AddrPort{}, fmt.Errorf("%w: link %q with argument %q", ErrCommand, link, arg)
	}
	addr, err := netip.ParseAddr(host)
	if err != nil {
		return netip.AddrPort{}, fmt.Errorf("%w: host: %w", ErrCommand, err)
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil || n == 0 || port[0] == '0' || port[0] == '+' {
		return netip.AddrPort{}, fmt.Errorf("%w: port %q", ErrCommand, port)
	}
	return netip.AddrPortFrom(addr, uint16(n)), nil
}
