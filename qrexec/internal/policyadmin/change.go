package policyadmin

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"unicode/utf8"

	"qubist/qrexec/policy"
)

// load reads the permanent policy as it would be with the changes: path → content, nil
// for a removed file.
func (a *Admin) load(changes map[string][]byte) (*policy.Policy, error) {
	files := map[string][]byte{}
	for name, text := range changes {
		files[rooted(name)] = text
	}
	// One directory given twice is read once: only the permanent policy counts here.
	d := policy.Dirs{Runtime: rooted(a.cfg.Dir), Permanent: rooted(a.cfg.Dir), Legacy: rooted(a.cfg.Legacy)}
	return policy.Load(&overlay{base: os.DirFS("/"), files: files}, d)
}

func rooted(path string) string { return strings.TrimPrefix(path, "/") }

// validate loads the policy that would result.
func (a *Admin) validate(changes map[string][]byte) error {
	_, err := a.load(changes)
	var e *policy.Error
	if !errors.As(err, &e) {
		return err
	}
	switch e.Reason {
	case policy.ReasonFileName, policy.ReasonOS, policy.ReasonEncoding:
		return fmt.Errorf("validating the change: %w", err)
	}
	return refuse(KindSyntax, "Policy change validation failed: /%s", e)
}

// write validates and replaces a file in one step.
func (a *Admin) write(file string, text []byte) error {
	if !utf8.Valid(text) {
		return fmt.Errorf("writing %s: it is not UTF-8", file)
	}
	if err := a.validate(map[string][]byte{file: text}); err != nil {
		return err
	}
	dir := filepath.Dir(file)
	if err := os.Mkdir(dir, 0o775); err != nil && !os.IsExist(err) {
		return fmt.Errorf("writing a policy file: %w", err)
	}
	// The loader passes over a name with '!' in neither directory: it does not end in .policy.
	tmp := filepath.Join(dir, "!"+strings.TrimSuffix(filepath.Base(file), suffix))
	if err := a.writeNew(tmp, text); err != nil {
		os.Remove(tmp)
		return fmt.Errorf("writing a policy file: %w", err)
	}
	if err := os.Rename(tmp, file); err != nil {
		os.Remove(tmp)
		return fmt.Errorf("writing a policy file: %w", err)
	}
	return syncDir(dir)
}

func (a *Admin) writeNew(file string, text []byte) error {
	f, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	if a.cfg.Group >= 0 {
		if err := f.Chown(0, a.cfg.Group); err != nil {
			return err
		}
	}
	if err := f.Chmod(0o664); err != nil {
		return err
	}
	if _, err := f.Write(text); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	return f.Close()
}

func syncDir(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

// getFiles names the files with rules for a service.
func (a *Admin) getFiles(_ dir, c Call) ([]byte, error) {
	switch {
	case c.Argument == "":
		return nil, refuse(KindProtocol, "Service cannot be empty.")
	case strings.Contains(c.Argument, "+"):
		return nil, refuse(KindProtocol, "Service '%s' contains invalid characters: ('+',)", c.Argument)
	}
	p, err := a.load(nil)
	if err != nil {
		return nil, err
	}
	var out strings.Builder
	seen := map[string]bool{}
	for _, r := range p.Rules() {
		if r.Service != "*" && r.Service != c.Argument || seen[r.File] {
			continue
		}
		seen[r.File] = true
		name := "/" + r.File
		if strings.HasPrefix(name, a.cfg.Dir+"/") {
			name = filepath.Base(name)
			name = strings.TrimSuffix(name, filepath.Ext(name))
		}
		out.WriteString(name + "\n")
	}
	return []byte(out.String()), nil
}
