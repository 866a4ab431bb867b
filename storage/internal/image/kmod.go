package image

import (
	"fmt"
	"path"
	"strings"
)

// moduleOrder gives the paths, relative to the modules directory, of the wanted modules and
// everything they depend on, each after its dependencies. dep and builtin are the texts of
// modules.dep and modules.builtin; built-in modules are left out.
func moduleOrder(dep, builtin string, want []string) ([]string, error) {
	deps := map[string][]string{} // path → dependencies, direct and indirect
	byName := map[string]string{}
	for l := range strings.Lines(dep) {
		p, rest, ok := strings.Cut(strings.TrimSpace(l), ":")
		if !ok {
			continue
		}
		deps[p] = strings.Fields(rest)
		byName[moduleName(p)] = p
	}
	inKernel := map[string]bool{}
	for l := range strings.Lines(builtin) {
		inKernel[moduleName(strings.TrimSpace(l))] = true
	}
	var out []string
	done := map[string]bool{}
	var add func(p string, depth int) error
	add = func(p string, depth int) error {
		if done[p] {
			return nil
		}
		if _, ok := deps[p]; !ok || depth > len(deps) {
			return fmt.Errorf("module %s is missing or depends on itself", p)
		}
		for _, d := range deps[p] {
			if err := add(d, depth+1); err != nil {
				return err
			}
		}
		done[p] = true
		out = append(out, p)
		return nil
	}
	for _, w := range want {
		p, ok := byName[moduleName(w)]
		if !ok {
			if inKernel[moduleName(w)] {
				continue
			}
			return nil, fmt.Errorf("the kernel has no module %s", w)
		}
		if err := add(p, 0); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// moduleName is the kernel's name of the module at p.
func moduleName(p string) string {
	n, _, _ := strings.Cut(path.Base(p), ".ko")
	return strings.ReplaceAll(n, "-", "_")
}
