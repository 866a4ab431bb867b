package policy

import (
	"encoding/json"
	"fmt"
)

// MaxSystemInfo bounds the system information in bytes.
const MaxSystemInfo = 16 << 20

// Domain is what the policy needs to know of one qube (spec §6). Absent or null values
// are the empty string.
type Domain struct {
	Name               string
	UUID               string
	Type               string
	Tags               []string
	TemplateForDispVMs bool
	DefaultDispVM      string
	Icon               string
	GUIVM              string
	RelayVM            string
	TransportRPC       string
	PowerState         string
	Internal           bool // never offered as a target
}

func (d *Domain) hasTag(tag string) bool {
	for _, t := range d.Tags {
		if t == tag {
			return true
		}
	}
	return false
}

// System is the set of qubes at one moment. It is immutable.
type System struct {
	byName map[string]*Domain
	byUUID map[string]*Domain // key "uuid:<uuid>"
}

// NewSystem makes a System of domains; later ones replace earlier ones of the same name.
func NewSystem(domains ...*Domain) *System {
	s := &System{byName: make(map[string]*Domain, len(domains)), byUUID: make(map[string]*Domain, len(domains))}
	for _, d := range domains {
		s.byName[d.Name] = d
		if d.UUID != "" {
			s.byUUID[uuidPrefix+d.UUID] = d
		}
	}
	return s
}

// Get finds a qube by name or "uuid:U"; nil when there is none.
func (s *System) Get(ref string) *Domain {
	if d := s.byName[ref]; d != nil {
		return d
	}
	return s.byUUID[ref]
}

// Named finds a qube by name only; nil when there is none.
func (s *System) Named(name string) *Domain { return s.byName[name] }

// Domains calls f for every qube, in no order.
func (s *System) Domains(f func(*Domain)) {
	for _, d := range s.byName {
		f(d)
	}
}

// ParseSystem reads the JSON of internal.GetSystemInfo, at most MaxSystemInfo bytes.
func ParseSystem(data []byte) (*System, error) {
	if len(data) > MaxSystemInfo {
		return nil, fmt.Errorf("parsing system information: %d bytes, at most %d allowed", len(data), MaxSystemInfo)
	}
	var raw struct {
		Domains map[string]*struct {
			UUID               string   `json:"uuid"`
			Type               string   `json:"type"`
			Tags               []string `json:"tags"`
			TemplateForDispVMs bool     `json:"template_for_dispvms"`
			DefaultDispVM      string   `json:"default_dispvm"`
			Icon               string   `json:"icon"`
			GUIVM              string   `json:"guivm"`
			RelayVM            string   `json:"relayvm"`
			TransportRPC       string   `json:"transport_rpc"`
			PowerState         string   `json:"power_state"`
			Internal           string   `json:"internal"`
		} `json:"domains"`
	}
	if err := json.Unmarshal(data, &raw); err != nil {
		return nil, fmt.Errorf("parsing system information: %w", err)
	}
	if raw.Domains == nil {
		return nil, fmt.Errorf("parsing system information: no key \"domains\"")
	}
	list := make([]*Domain, 0, len(raw.Domains))
	for name, d := range raw.Domains {
		if d == nil || name == "" {
			return nil, fmt.Errorf("parsing system information: entry %q is empty", name)
		}
		list = append(list, &Domain{
			Name: name, UUID: d.UUID, Type: d.Type, Tags: d.Tags, TemplateForDispVMs: d.TemplateForDispVMs,
			DefaultDispVM: d.DefaultDispVM, Icon: d.Icon, GUIVM: d.GUIVM, RelayVM: d.RelayVM,
			TransportRPC: d.TransportRPC, PowerState: d.PowerState, Internal: d.Internal != "",
		})
	}
	return NewSystem(list...), nil
}
