package policy

import "strings"

// kind says which sort of qubes a token stands for (spec §3).
type kind uint8

const (
	kindName      kind = iota // a qube's name
	kindUUID                  // uuid:U, value is U
	kindAdmin                 // dom0 in any of its three spellings
	kindAny                   // *
	kindAnyVM                 // @anyvm
	kindType                  // @type:T
	kindTag                   // @tag:T
	kindDefault               // @default
	kindDispVM                // @dispvm
	kindDispVMOf              // @dispvm:N, value is N (name or uuid:U)
	kindDispVMTag             // @dispvm:@tag:T
)

// The spellings of dom0.
const (
	dom0Name  = "dom0"
	adminName = "@adminvm"
	nilUUID   = "00000000-0000-0000-0000-000000000000"
)

const (
	uuidPrefix   = "uuid:"
	dispVMToken  = "@dispvm"
	dispVMPrefix = "@dispvm:"
	defaultToken = "@default"
)

// token is one checked word of the source, target or redirect column.
type token struct {
	kind  kind
	text  string // as written
	value string // what follows the prefix; the whole text of a name
}

// column is a place where tokens stand; each allows its own kinds.
type column uint16

const (
	columnSource column = 1 << iota
	columnTarget
	columnRedirect
	columnRequest
)

// allowed has, per kind, the columns it may stand in. @dispvm:… as a source is accepted
// although it can never match, as in the reference.
var allowed = [...]column{
	kindName:      columnSource | columnTarget | columnRedirect | columnRequest,
	kindUUID:      columnSource | columnTarget | columnRedirect | columnRequest,
	kindAdmin:     columnSource | columnTarget | columnRedirect | columnRequest,
	kindAny:       columnSource | columnTarget,
	kindAnyVM:     columnSource | columnTarget,
	kindType:      columnSource | columnTarget,
	kindTag:       columnSource | columnTarget,
	kindDefault:   columnTarget | columnRequest,
	kindDispVM:    columnTarget | columnRedirect | columnRequest,
	kindDispVMOf:  columnSource | columnTarget | columnRedirect | columnRequest,
	kindDispVMTag: columnSource | columnTarget,
}

var exactTokens = map[string]kind{
	"*": kindAny, "@anyvm": kindAnyVM, adminName: kindAdmin, dom0Name: kindAdmin,
	uuidPrefix + nilUUID: kindAdmin, defaultToken: kindDefault, dispVMToken: kindDispVM,
}

// prefixTokens are tried in this order: the first prefix decides.
var prefixTokens = []struct {
	prefix string
	kind   kind
}{
	{"@type:", kindType}, {"@tag:", kindTag}, {"@dispvm:@tag:", kindDispVMTag}, {dispVMPrefix, kindDispVMOf}, {uuidPrefix, kindUUID},
}

// parseToken checks one word. The reason is empty when the token is good.
func parseToken(s string, col column) (token, Reason) {
	if s == "" {
		return token{}, ReasonTokenEmpty
	}
	t, reason := classify(s)
	if reason != reasonNone {
		return token{}, reason
	}
	if allowed[t.kind]&col == 0 {
		return token{}, ReasonTokenInvalid
	}
	return t, reasonNone
}

func classify(s string) (token, Reason) {
	if k, ok := exactTokens[s]; ok {
		return token{kind: k, text: s, value: s}, reasonNone
	}
	for _, p := range prefixTokens {
		value, ok := strings.CutPrefix(s, p.prefix)
		switch {
		case !ok:
			continue
		case value == "":
			return token{}, ReasonTokenEmpty
		case value[0] == '@':
			return token{}, ReasonTokenInvalid
		}
		return token{kind: p.kind, text: s, value: value}, reasonNone
	}
	if s[0] == '@' {
		return token{}, ReasonTokenInvalid
	}
	return token{kind: kindName, text: s, value: s}, reasonNone
}
