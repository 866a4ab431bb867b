package image

import (
	"fmt"
	"io"
)

// File types of a cpio entry's mode.
const (
	modeDir     = 0o040000
	modeRegular = 0o100000
	modeChar    = 0o020000
)

// cpioWriter writes the "newc" format that the kernel unpacks as its first root.
type cpioWriter struct {
	w   io.Writer
	ino uint32
	n   int64
	err error
}

// entry adds one file. major and minor are of a device node.
func (c *cpioWriter) entry(name string, mode uint32, major, minor uint32, body []byte) {
	c.ino++
	nlink := 1
	if mode&modeDir == modeDir && mode&modeRegular == 0 {
		nlink = 2
	}
	c.write([]byte(fmt.Sprintf("070701%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X",
		c.ino, mode, 0, 0, nlink, 0, len(body), 0, 0, major, minor, len(name)+1, 0)))
	c.write(append([]byte(name), 0))
	c.pad()
	c.write(body)
	c.pad()
}

func (c *cpioWriter) write(b []byte) {
	if c.err != nil {
		return
	}
	n, err := c.w.Write(b)
	c.n += int64(n)
	c.err = err
}

func (c *cpioWriter) pad() { c.write(make([]byte, -c.n&3)) }

// close ends the archive and returns the first error of all.
func (c *cpioWriter) close() error {
	c.ino = 0
	c.entry("TRAILER!!!", 0, 0, 0, nil)
	return c.err
}

// module is one kernel module of the initrd.
type module struct {
	name string
	body []byte
}

// writeInitrd writes the archive with init and the modules, which /init loads in the order
// of the file /modules/order.
func writeInitrd(w io.Writer, init []byte, mods []module) error {
	c := &cpioWriter{w: w}
	for _, d := range []string{"dev", "proc", "sys", "sysroot", "modules"} {
		c.entry(d, modeDir|0o755, 0, 0, nil)
	}
	c.entry("dev/console", modeChar|0o600, 5, 1, nil)
	order := ""
	for _, m := range mods {
		order += m.name + "\n"
		c.entry("modules/"+m.name, modeRegular|0o644, 0, 0, m.body)
	}
	c.entry("modules/order", modeRegular|0o644, 0, 0, []byte(order))
	c.entry("init", modeRegular|0o755, 0, 0, init)
	return c.close()
}
