package libvirt

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/xml"
	"fmt"

	"qubist/core/paths"
	"qubist/core/qube"
)

// metadataNS is the XML namespace of what we keep in a domain's metadata. It tells our
// domains from others' and lets a new process adopt them.
const metadataNS = "urn:qubist:domain:1"

// metadata is the element. libvirt keeps the namespace to itself when asked for it, so
// reading accepts any.
type metadata struct {
	XMLName  xml.Name `xml:"domain"`
	NS       string   `xml:"xmlns,attr"`
	Instance string   `xml:"instance,attr"`
	Name     string   `xml:"name,attr"`
	XID      uint32   `xml:"xid,attr"`
}

// parseMetadata checks the element of a domain; ok is false for another instance's.
func parseMetadata(text, instance string) (name qube.Name, xid qube.DomID, ok bool, err error) {
	var m metadata
	if err := xml.Unmarshal([]byte(text), &m); err != nil {
		return "", 0, false, fmt.Errorf("reading the domain's metadata: %w", err)
	}
	if m.Instance != instance {
		return "", 0, false, nil
	}
	name, err = qube.ParseName(m.Name)
	if err != nil {
		return "", 0, false, fmt.Errorf("reading the domain's metadata: %w", err)
	}
	if m.XID == 0 || m.XID > uint32(qube.MaxDomID) {
		return "", 0, false, fmt.Errorf("reading the domain's metadata: xid %d is out of range", m.XID)
	}
	return name, qube.DomID(m.XID), true, nil
}

// instanceOf names the instance that lives at p: a short hash, since several instances may
// share one libvirtd and one /dev/shm.
func instanceOf(p paths.Paths) string {
	sum := sha256.Sum256([]byte(p.Lib))
	return hex.EncodeToString(sum[:4])
}

// systemLib is the state directory of the machine's main instance, whose domains carry
// plain qube names in libvirt.
const systemLib = "/var/lib/qubist"

// libvirtName is the name of a qube's domain in libvirt.
func libvirtName(p paths.Paths, n qube.Name) string {
	if p.Lib == systemLib {
		return string(n)
	}
	return "q" + instanceOf(p) + "-" + string(n)
}
