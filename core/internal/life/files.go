package life

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"qubist/core/adminapi"
	"qubist/core/internal/domain"
	"qubist/core/internal/store"
	"qubist/core/qube"
	"qubist/netvm/rule"
)

// Files of a qube besides its volumes, in its directory.
const (
	firewallFile = "firewall.xml"
	notesFile    = "notes.txt"
	// MaxNotes bounds a qube's notes, in bytes.
	MaxNotes = 256000
)

// dir is where the files of a qube are. The caller holds the lock.
func (s *System) dir(vm *domain.VM) string {
	return filepath.Join(s.Paths.Lib, filepath.FromSlash(vm.Dir()))
}

// loadFirewalls reads the rules of all qubes. Rules that cannot be read become none, which
// lets nothing through.
func (s *System) loadFirewalls() {
	for _, vm := range s.m.VMs() {
		if vm.Class == qube.AdminVM || !vm.Local() {
			continue
		}
		b, err := s.FS.ReadFile(filepath.Join(s.dir(vm), firewallFile))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err == nil {
			vm.Firewall, err = rule.Decode(b)
		}
		if err != nil {
			s.Log.Error("firewall rules are unreadable, the qube gets no network", "qube", vm.Name, "err", err)
			vm.Firewall = []rule.Rule{}
		}
	}
}

// withDir calls f with the directory of a local qube. Its files do not change or go away
// meanwhile; the model is not locked.
func (s *System) withDir(n qube.Name, what string, f func(dir string) error) error {
	s.files.Lock()
	defer s.files.Unlock()
	var dir string
	if err := s.Read(func(m *domain.Model) error {
		vm := m.VM(n)
		switch {
		case vm == nil:
			return domain.NotFound(string(n))
		case !vm.Local() || vm.Class == qube.AdminVM:
			return adminapi.Errorf(adminapi.VMError, "%s %s has no %s", vm.Class, n, what)
		}
		dir = s.dir(vm)
		return nil
	}); err != nil {
		return err
	}
	return f(dir)
}

// SetFirewall replaces a qube's rules.
func (s *System) SetFirewall(n qube.Name, rules []rule.Rule) error {
	err := s.withDir(n, "firewall", func(dir string) error { return s.writeFirewall(dir, rules) })
	if err != nil {
		return err
	}
	return s.Write(func(m *domain.Model) error {
		vm := m.VM(n)
		if vm == nil {
			return domain.NotFound(string(n))
		}
		vm.Firewall = rules
		m.Fire(vm, "firewall-changed")
		return nil
	})
}

func (s *System) writeFirewall(dir string, rules []rule.Rule) error {
	b, err := rule.Encode(rules, s.Now().Unix())
	if err == nil {
		err = mkdirs(dir)
	}
	if err == nil {
		err = store.Replace(s.FS, filepath.Join(dir, firewallFile), b, 0o664)
	}
	if err != nil {
		return fmt.Errorf("saving firewall rules: %w", err)
	}
	return nil
}

// Notes are the text people keep with a qube, "" when there is none.
func (s *System) Notes(n qube.Name) (b []byte, err error) {
	err = s.withDir(n, "notes", func(dir string) error {
		b, err = s.FS.ReadFile(filepath.Join(dir, notesFile))
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return err
	})
	return b, err
}

// SetNotes replaces a qube's notes. The text must be safe to show.
func (s *System) SetNotes(n qube.Name, text []byte) error {
	return s.withDir(n, "notes", func(dir string) error {
		if err := mkdirs(dir); err != nil {
			return err
		}
		return store.Replace(s.FS, filepath.Join(dir, notesFile), text, 0o664)
	})
}

// removeFiles deletes what a qube that is gone kept in its directory.
func (s *System) removeFiles(n qube.Name, dir string) {
	s.files.Lock()
	defer s.files.Unlock()
	there := s.Read(func(m *domain.Model) error {
		if m.VM(n) == nil {
			return fs.ErrNotExist
		}
		return nil
	}) == nil
	if there {
		return // a new one of the same name
	}
	for _, f := range []string{firewallFile, notesFile} {
		if err := s.FS.Remove(filepath.Join(dir, f)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			s.Log.Error("removing a qube's file", "qube", n, "file", f, "err", err)
		}
	}
	_ = os.Remove(dir) // other pools may still have something there
}
