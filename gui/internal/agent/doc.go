// Package agent is the qube's end of the GUI protocol: it shows a daemon in dom0 the
// windows of the qube's own X server and replays dom0's input on them (spec
// gui-protocol.md §14). It acts as the X server's window manager, has every window drawn
// off screen (Composite), and lets the X server itself copy what changed (Damage) into the
// window region, so pixels pass neither through this process nor through the channel. It
// does not start the X server; that is package xserver's work.
//
// Words: a *window* is a child of the root that has pixels; it is *announced* from its
// first mapping on; its *image* is its place in the region; the *link* is the connection
// with one daemon. All state belongs to the goroutine of Serve.
package agent
