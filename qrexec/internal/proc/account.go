package proc

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// Account is a user as /etc/passwd and /etc/group describe it. The name services beyond
// these files (NSS, PAM) are not asked: the programs are static.
type Account struct {
	Name   string
	UID    uint32
	GID    uint32
	Groups []uint32 // GID included
	Home   string
	Shell  string
}

// Accounts reads the user database below Etc, normally "/etc".
type Accounts struct{ Etc string }

// Lookup finds a user by name.
func (a Accounts) Lookup(name string) (Account, error) {
	return a.find(func(f []string) bool { return f[0] == name }, name)
}

// Switch gives the account a child has to change to in order to run as name: nil if we are
// that user already. Only root can become somebody else.
func (a Accounts) Switch(name string) (*Account, error) {
	acc, err := a.Lookup(name)
	switch {
	case err != nil:
		return nil, err
	case os.Geteuid() == 0:
		return &acc, nil
	case int(acc.UID) != os.Geteuid():
		return nil, fmt.Errorf("user %q requested, but we run as number %d", name, os.Geteuid())
	}
	return nil, nil
}

// Self is the name of the user we run as.
func (a Accounts) Self() (string, error) {
	n := strconv.Itoa(os.Geteuid())
	acc, err := a.find(func(f []string) bool { return f[2] == n }, n)
	return acc.Name, err
}

func (a Accounts) find(match func([]string) bool, what string) (Account, error) {
	var acc Account
	found := false
	err := eachLine(filepath.Join(a.Etc, "passwd"), 7, func(f []string) bool {
		if !match(f) {
			return true
		}
		uid, err1 := strconv.ParseUint(f[2], 10, 32)
		gid, err2 := strconv.ParseUint(f[3], 10, 32)
		if err1 != nil || err2 != nil {
			return true
		}
		acc = Account{Name: f[0], UID: uint32(uid), GID: uint32(gid), Home: f[5], Shell: f[6]}
		found = true
		return false
	})
	if err != nil {
		return acc, fmt.Errorf("looking up user %q: %w", what, err)
	}
	if !found {
		return acc, fmt.Errorf("looking up user %q: no such user", what)
	}
	if acc.Home == "" {
		acc.Home = "/"
	}
	if acc.Shell == "" {
		acc.Shell = "/bin/sh"
	}
	acc.Groups, err = a.groups(acc)
	return acc, err
}

func (a Accounts) groups(acc Account) ([]uint32, error) {
	out := []uint32{acc.GID}
	err := eachLine(filepath.Join(a.Etc, "group"), 4, func(f []string) bool {
		gid, err := strconv.ParseUint(f[2], 10, 32)
		if err != nil || uint32(gid) == acc.GID {
			return true
		}
		for m := range strings.SplitSeq(f[3], ",") {
			if m == acc.Name {
				out = append(out, uint32(gid))
				break
			}
		}
		return true
	})
	if err != nil {
		return nil, fmt.Errorf("looking up groups of %q: %w", acc.Name, err)
	}
	return out, nil
}

// eachLine calls fn with the fields of each line that has n of them until fn returns false.
func eachLine(path string, n int, fn func([]string) bool) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	s := bufio.NewScanner(f)
	for s.Scan() {
		fields := strings.Split(s.Text(), ":")
		if len(fields) == n && fields[0] != "" && fields[0][0] != '#' && !fn(fields) {
			return nil
		}
	}
	return s.Err()
}

// credential makes a child run as the account.
func (a Account) credential() *syscall.Credential {
	return &syscall.Credential{Uid: a.UID, Gid: a.GID, Groups: a.Groups}
}

// loginEnv are the variables of a login.
func (a Account) loginEnv() []string {
	return []string{"HOME=" + a.Home, "SHELL=" + a.Shell, "USER=" + a.Name, "LOGNAME=" + a.Name}
}
