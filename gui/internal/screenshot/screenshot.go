// Package screenshot reads the root window of an X server with all that is visible on it,
// and writes it to a file.
package screenshot

import (
	"bufio"
	"fmt"
	"image"
	"image/png"
	"os"
	"path/filepath"

	"github.com/BurntSushi/xgb/xproto"

	"qubist/gui/internal/xconn"
)

// stripBytes bounds what is asked for in one request.
const stripBytes = 4 << 20

// Take returns the screen's picture. Screens of 24 bits depth only.
func Take(c *xconn.Conn) (*image.RGBA, error) {
	if c.Screen.RootDepth != 24 {
		return nil, fmt.Errorf("taking a screenshot: the screen has depth %d, want 24", c.Screen.RootDepth)
	}
	g, err := xproto.GetGeometry(c.X, xproto.Drawable(c.Screen.Root)).Reply()
	if err != nil {
		return nil, fmt.Errorf("taking a screenshot: %w", err)
	}
	w, h := int(g.Width), int(g.Height)
	img := image.NewRGBA(image.Rect(0, 0, w, h))
	rows := max(1, stripBytes/(4*w))
	for y := 0; y < h; y += rows {
		n := min(rows, h-y)
		r, err := xproto.GetImage(c.X, xproto.ImageFormatZPixmap, xproto.Drawable(c.Screen.Root), 0, int16(y), uint16(w), uint16(n), ^uint32(0)).Reply()
		if err != nil {
			return nil, fmt.Errorf("taking a screenshot: %w", err)
		}
		if len(r.Data) < 4*w*n {
			return nil, fmt.Errorf("taking a screenshot: %d bytes for %d × %d pixels", len(r.Data), w, n)
		}
		out := img.Pix[y*img.Stride:]
		for i := 0; i < 4*w*n; i += 4 {
			out[i], out[i+1], out[i+2], out[i+3] = r.Data[i+2], r.Data[i+1], r.Data[i], 0xff
		}
	}
	return img, nil
}

// Write replaces the file at path by img as a PNG, readable by the owner only: a picture of
// every qube's windows is secret. The file is complete or not there.
func Write(path string, img image.Image) error {
	if err := write(path, img); err != nil {
		return fmt.Errorf("writing the screenshot: %w", err)
	}
	return nil
}

func write(path string, img image.Image) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".screenshot-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // fails once it has its name
	defer f.Close()
	b := bufio.NewWriter(f)
	enc := png.Encoder{CompressionLevel: png.BestSpeed}
	if err := enc.Encode(b, img); err != nil {
		return err
	}
	if err := b.Flush(); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return err
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	defer dir.Close()
	return dir.Sync()
}
