// Package recipe embeds the template recipes: for each distribution the packages, the
// kernel modules of the initrd and the script that finishes the tree. It holds no logic;
// storage/internal/image reads it.
package recipe

import "embed"

// Files has one directory for each recipe, for example "debian-12".
//
//go:embed debian-12
var Files embed.FS
