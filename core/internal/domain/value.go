package domain

import (
	"strconv"

	"qubist/core/adminapi"
	"qubist/core/qube"
)

// Kind says what a Value holds.
type Kind uint8

// The kinds of values.
const (
	None Kind = iota
	Text
	Number
	Truth
	Ref     // a qube, by name
	LabelID // a label, by name
)

// Value is a property's value. The zero value is none.
type Value struct {
	Kind Kind
	S    string
	N    int64
	B    bool
}

// TextValue, IntValue, BoolValue, RefValue and LabelValue make values; RefValue of nil is none.
func TextValue(s string) Value { return Value{Kind: Text, S: s} }

// IntValue makes a number.
func IntValue(n int64) Value { return Value{Kind: Number, N: n} }

// BoolValue makes a truth value.
func BoolValue(b bool) Value { return Value{Kind: Truth, B: b} }

// RefValue refers to vm.
func RefValue(vm *VM) Value {
	if vm == nil {
		return Value{}
	}
	return Value{Kind: Ref, S: string(vm.Name)}
}

// LabelValue refers to a label.
func LabelValue(name string) Value { return Value{Kind: LabelID, S: name} }

// API is the value in answers of property methods: none is empty.
func (v Value) API() string {
	switch v.Kind {
	case Number:
		return strconv.FormatInt(v.N, 10)
	case Truth:
		return adminapi.PyBool(v.B)
	}
	return v.S
}

// Str is the value in events: none is "None".
func (v Value) Str() string {
	if v.Kind == None {
		return "None"
	}
	return v.API()
}

// ref resolves a qube-valued value.
func (m *Model) ref(v Value) *VM {
	if v.Kind != Ref {
		return nil
	}
	return m.vms[qube.Name(v.S)]
}

// Ref is the qube a property of vm (or the system, nil) refers to, nil for none.
func (m *Model) Ref(vm *VM, prop string) *VM {
	v, _ := m.Value(vm, prop)
	return m.ref(v)
}

// Truth is a boolean property's value; absent is false.
func (m *Model) Truth(vm *VM, prop string) bool {
	v, _ := m.Value(vm, prop)
	return v.B
}

// Number is a numeric property's value; absent is 0.
func (m *Model) Number(vm *VM, prop string) int64 {
	v, _ := m.Value(vm, prop)
	return v.N
}

// Text is a textual property's value; absent is "".
func (m *Model) Text(vm *VM, prop string) string {
	v, _ := m.Value(vm, prop)
	return v.S
}

// Label is vm's label; Index 0 when it has none.
func (m *Model) Label(vm *VM) qube.Label {
	l, _ := m.FindLabel(m.Text(vm, "label"))
	return l
}
