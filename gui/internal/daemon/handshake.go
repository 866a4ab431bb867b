package daemon

import (
	"context"
	"errors"
	"fmt"
	"io"

	"qubist/core/vchan"
	"qubist/gui/internal/display"
	"qubist/gui/wire"
)

// handshake agrees on a version and describes the screen (§1.1).
func handshake(ctx context.Context, conn vchan.Conn, screen display.Screen) (wire.Version, error) {
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	var b [wire.VersionSize]byte
	if _, err := io.ReadFull(conn, b[:]); err != nil {
		return 0, fmt.Errorf("reading the agent's version: %w", err)
	}
	offer, err := wire.ParseVersion(b[:])
	if err != nil {
		return 0, err
	}
	version, err := offer.Negotiate()
	if err != nil {
		return 0, fmt.Errorf("%w: %w", ErrProtocol, err)
	}
	var out []byte
	if version >= wire.VersionNegotiation {
		out = version.Append(out)
	}
	out = wire.NewXConf(screen.Width, screen.Height, screen.Depth).Append(out)
	if _, err := conn.Write(out); err != nil {
		return 0, fmt.Errorf("answering the handshake: %w", err)
	}
	if !stop() {
		return 0, errors.Join(context.Cause(ctx), vchan.ErrClosed)
	}
	return version, nil
}
