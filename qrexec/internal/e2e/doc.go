// Package e2e holds only tests: the four qrexec programs as real processes over the socket
// transport, against recorded dialogues of the originals and against each other.
package e2e
