package confine

import (
	"os"

	"github.com/landlock-lsm/go-landlock/landlock"
	ll "github.com/landlock-lsm/go-landlock/landlock/syscall"
)

// applyLandlock restricts files, and network unless p allows it, as far as the kernel can.
// It returns the kernel's Landlock version, 0 if it has none.
func applyLandlock(p Profile) (abi int, err error) {
	abi, err = ll.LandlockGetABIVersion()
	if err != nil || abi <= 0 {
		return 0, nil
	}
	var rules []landlock.Rule
	for _, path := range p.Read {
		rules = append(rules, pathRule(path, false))
	}
	for _, path := range p.Write {
		rules = append(rules, pathRule(path, true))
	}
	config := landlock.V6.BestEffort()
	if p.Network {
		return abi, config.RestrictPaths(rules...)
	}
	return abi, config.Restrict(rules...)
}

// pathRule allows path as what it is now, a directory with all below it or a file.
func pathRule(path string, write bool) landlock.Rule {
	info, err := os.Stat(path)
	dir := err == nil && info.IsDir()
	switch {
	case dir && write:
		return landlock.RWDirs(path).IgnoreIfMissing()
	case dir:
		return landlock.RODirs(path).IgnoreIfMissing()
	case write:
		return landlock.RWFiles(path).IgnoreIfMissing()
	}
	return landlock.ROFiles(path).IgnoreIfMissing()
}
