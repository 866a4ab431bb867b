// Package store keeps the system description in a file of upstream's qubes.xml shape (spec
// core.md §12). It knows elements and attributes, not what they mean: unknown properties,
// devices and options pass through untouched. Files are replaced whole, so that a crash at
// any point leaves the old or the new one.
package store

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io/fs"
	"strings"
)

// MaxFile bounds the description, in bytes.
const MaxFile = 64 << 20

// File is the root element.
type File struct {
	XMLName    xml.Name   `xml:"qubes"`
	Labels     []Label    `xml:"labels>label"`
	Pools      []Pool     `xml:"pools>pool"`
	Properties []Property `xml:"properties>property"`
	Domains    []Domain   `xml:"domains>domain"`
}

// Label is <label id="label-1" color="0xcc0000">red</label>.
type Label struct {
	ID    string `xml:"id,attr"`
	Color string `xml:"color,attr"`
	Name  string `xml:",chardata"`
}

// Pool is <pool name driver …options/>; name and driver are among the attributes.
type Pool struct {
	Attrs []xml.Attr `xml:",any,attr"`
}

// Property is one explicitly set property; an empty text is "none". Ref is the older way to
// write a value that names another object.
type Property struct {
	Name  string `xml:"name,attr"`
	Ref   string `xml:"ref,attr,omitempty"`
	Value string `xml:",chardata"`
}

// Domain is one qube.
type Domain struct {
	ID         string     `xml:"id,attr"`
	Class      string     `xml:"class,attr"`
	Properties []Property `xml:"properties>property"`
	Features   []Feature  `xml:"features>feature"`
	Tags       []Tag      `xml:"tags>tag"`
	Devices    []Devices  `xml:"devices"`
	Volumes    *Volumes   `xml:"volume-config"`
}

// Feature is <feature name="…">value</feature>.
type Feature struct {
	Name  string `xml:"name,attr"`
	Value string `xml:",chardata"`
}

// Tag is <tag name="…"/>.
type Tag struct {
	Name string `xml:"name,attr"`
}

// Devices are the assignments of one device class.
type Devices struct {
	Class   string   `xml:"class,attr"`
	Devices []Device `xml:"device"`
}

// Device is one assignment.
type Device struct {
	Attrs   []xml.Attr `xml:",any,attr"`
	Options []Option   `xml:"option"`
}

// Option is <option name="…">value</option>.
type Option struct {
	Name  string `xml:"name,attr"`
	Value string `xml:",chardata"`
}

// Volumes holds a qube's volume configurations in order.
type Volumes struct {
	Volumes []Volume `xml:"volume"`
}

// Volume is one configuration; everything is in attributes.
type Volume struct {
	Attrs []xml.Attr `xml:",any,attr"`
}

// Get is the value of an attribute and whether it is there.
func Get(attrs []xml.Attr, name string) (string, bool) {
	for _, a := range attrs {
		if a.Name.Local == name {
			return a.Value, true
		}
	}
	return "", false
}

// Attr makes an attribute.
func Attr(name, value string) xml.Attr {
	return xml.Attr{Name: xml.Name{Local: name}, Value: value}
}

// Decode reads a description. Text is trimmed where it only indents.
func Decode(b []byte) (File, error) {
	var f File
	if len(b) > MaxFile {
		return f, fmt.Errorf("system description of %d bytes: too long", len(b))
	}
	d := xml.NewDecoder(bytes.NewReader(b))
	if err := d.Decode(&f); err != nil {
		return File{}, fmt.Errorf("reading system description: %w", err)
	}
	if rest := bytes.TrimSpace(b[d.InputOffset():]); len(rest) > 0 {
		return File{}, fmt.Errorf("reading system description: %d bytes after the root element", len(rest))
	}
	for i := range f.Labels {
		f.Labels[i].Name = strings.TrimSpace(f.Labels[i].Name)
	}
	return f, nil
}

// Encode writes a description. It refuses text that XML cannot carry, which would come back
// changed.
func Encode(f File) ([]byte, error) {
	var buf bytes.Buffer
	e := xml.NewEncoder(&buf)
	e.Indent("", "  ")
	if err := e.Encode(f); err != nil {
		return nil, fmt.Errorf("writing system description: %w", err)
	}
	buf.WriteByte('\n')
	if bytes.ContainsRune(buf.Bytes(), '\uFFFD') {
		return nil, errors.New("writing system description: a value holds a character XML cannot carry")
	}
	return buf.Bytes(), nil
}

// Load reads the description at path; a missing one is fs.ErrNotExist.
func Load(fsys FS, path string) (File, error) {
	b, err := fsys.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return File{}, err
	}
	if err != nil {
		return File{}, fmt.Errorf("reading system description: %w", err)
	}
	return Decode(b)
}

// Save replaces the description at path.
func Save(fsys FS, path string, f File) error {
	b, err := Encode(f)
	if err != nil {
		return err
	}
	return Replace(fsys, path, b, 0o660)
}
