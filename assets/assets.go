// Package assets embeds the files that an installation puts in place: the default policy.
// It holds no code beyond access to them.
package assets

import (
	"embed"
	"io/fs"
)

//go:embed policy.d
var policy embed.FS

// PolicyFS holds the default policy: the content of <etc>/policy.d.
func PolicyFS() fs.FS {
	sub, err := fs.Sub(policy, "policy.d")
	if err != nil {
		panic("assets: " + err.Error()) // the path is a constant that embed has checked
	}
	return sub
}
