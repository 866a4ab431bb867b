// Package guest embeds the files that every template receives besides the programs: units,
// configuration, services. The first folder says where a file goes in the VM; the table is
// in storage/internal/image. It holds no logic.
package guest

import "embed"

// Files is the content of this folder.
//
//go:embed *
var Files embed.FS
