package rule

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"strconv"
)

// MaxFile bounds the file of one qube's rules, in bytes.
const MaxFile = 4 << 20

type xmlFile struct {
	XMLName xml.Name `xml:"firewall"`
	Version string   `xml:"version,attr"`
	Rules   []xmlSet `xml:"rules>rule"`

	// Of version 1.
	Policy string    `xml:"policy,attr,omitempty"`
	DNS    string    `xml:"dns,attr,omitempty"`
	ICMP   string    `xml:"icmp,attr,omitempty"`
	Old    []xmlRule `xml:"rule"`
}

type xmlSet struct {
	Properties []xmlProperty `xml:"properties>property"`
}

type xmlProperty struct {
	Name  string `xml:"name,attr"`
	Value string `xml:",chardata"`
}

// xmlRule is a rule of version 1.
type xmlRule struct {
	Address string `xml:"address,attr"`
	Netmask string `xml:"netmask,attr"`
	Proto   string `xml:"proto,attr"`
	Port    string `xml:"port,attr"`
	ToPort  string `xml:"toport,attr"`
	Expire  string `xml:"expire,attr"`
}

// Properties are the rule as its file keeps it, in order.
func (r Rule) properties() []xmlProperty {
	var out []xmlProperty
	add := func(has bool, name, value string) {
		if has {
			out = append(out, xmlProperty{name, value})
		}
	}
	ports := port(r.First)
	if r.First != r.Last {
		ports += "-" + port(r.Last)
	}
	add(true, "action", r.Action)
	add(r.Comment != "", "comment", r.Comment)
	add(r.HasExpire, "expire", strconv.FormatInt(r.Expire, 10))
	add(r.HasDst, "dsthost", r.Dst)
	add(r.Proto != "", "proto", r.Proto)
	add(r.Special != "", "specialtarget", r.Special)
	add(r.HasPorts, "dstports", ports)
	add(r.HasICMP, "icmptype", strconv.Itoa(int(r.ICMP)))
	return out
}

// Encode writes the rules that still hold.
func Encode(rules []Rule, now int64) ([]byte, error) {
	f := xmlFile{Version: "2"}
	for _, r := range rules {
		if !r.Expired(now) {
			f.Rules = append(f.Rules, xmlSet{r.properties()})
		}
	}
	var buf bytes.Buffer
	e := xml.NewEncoder(&buf)
	e.Indent("", "  ")
	if err := e.Encode(f); err != nil {
		return nil, fmt.Errorf("writing firewall rules: %w", err)
	}
	buf.WriteByte('\n')
	return buf.Bytes(), nil
}

// Decode reads a file of either version. Every rule is checked as in Parse.
func Decode(b []byte) ([]Rule, error) {
	if len(b) > MaxFile {
		return nil, fmt.Errorf("reading firewall rules: %d bytes, at most %d", len(b), MaxFile)
	}
	var f xmlFile
	d := xml.NewDecoder(bytes.NewReader(b))
	err := d.Decode(&f)
	if err == nil && len(bytes.TrimSpace(b[d.InputOffset():])) > 0 {
		err = errors.New("text after the root element")
	}
	if err != nil {
		return nil, fmt.Errorf("reading firewall rules: %w", err)
	}
	out := []Rule{}
	switch f.Version {
	case "2":
		for _, s := range f.Rules {
			r, err := fromProperties(s.Properties)
			if err != nil {
				return nil, err
			}
			out = append(out, r)
		}
	case "", "1":
		if out, err = f.version1(); err != nil {
			return nil, err
		}
	default:
		return nil, fmt.Errorf("reading firewall rules: unknown version %q", f.Version)
	}
	if len(out) > MaxRules {
		return nil, fmt.Errorf("reading firewall rules: %d rules, at most %d", len(out), MaxRules)
	}
	return out, nil
}

func fromProperties(ps []xmlProperty) (Rule, error) {
	var r Rule
	seen := map[string]bool{}
	for _, p := range ps {
		if seen[p.Name] {
			return r, bad("property %s is there twice", p.Name)
		}
		seen[p.Name] = true
		if p.Name == "comment" {
			if not(p.Value, valueChars+" ") {
				return r, bad("strange characters in the comment")
			}
			r.Comment = p.Value
		} else if err := r.set(p.Name, p.Value); err != nil {
			return Rule{}, err
		}
	}
	return r, r.check()
}

// version1 translates the oldest form: a policy with exceptions.
func (f xmlFile) version1() ([]Rule, error) {
	accepts := f.Policy == "allow"
	word := func(own string) string {
		if own == "allow" || own == "" && accepts {
			return "accept"
		}
		return "drop"
	}
	out := []Rule{{Action: word(f.DNS), Special: "dns"}, {Action: word(f.ICMP), Proto: "icmp"}}
	exception := "accept"
	if accepts {
		exception = "drop"
	}
	for _, o := range f.Old {
		r := Rule{Action: exception}
		for _, kv := range o.options() {
			if err := r.set(kv.Name, kv.Value); err != nil {
				return nil, err
			}
		}
		if err := r.check(); err != nil {
			return nil, err
		}
		out = append(out, r)
	}
	if accepts {
		out = append(out, Accept())
	}
	return out, nil
}

func (o xmlRule) options() []xmlProperty {
	var out []xmlProperty
	if o.Address != "" {
		host := o.Address
		if o.Netmask != "" {
			host += "/" + o.Netmask
		}
		out = append(out, xmlProperty{"dsthost", host})
	}
	proto := o.Proto
	if proto == "" || proto == "any" {
		proto = ""
		if o.Port != "" && o.Port != "0" {
			proto = "tcp"
		}
	}
	if proto != "" {
		out = append(out, xmlProperty{"proto", proto})
	}
	if o.Port != "" && o.Port != "0" {
		ports := o.Port
		if o.ToPort != "" {
			ports += "-" + o.ToPort
		}
		out = append(out, xmlProperty{"dstports", ports})
	}
	if o.Expire != "" {
		out = append(out, xmlProperty{"expire", o.Expire})
	}
	return out
}
