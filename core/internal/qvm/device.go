package qvm

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"qubist/core/adminapi"
	"qubist/core/adminclient"
	"qubist/core/safetext"
)

var deviceOptions = []option{
	sw("assignments,s", "list assignments as well, marked '*'"), sw("with-sbdf,resolve-paths", "list the addresses of PCI devices"),
	many(val("option,o", "NAME=VALUE", "set an option of the device class")), sw("ro", "attach read-only"), sw("persistent,p", "attach and assign as required"),
	sw("required,r", "the qube does not start without the device"), sw("ask,ask-to-attach", "ask each time the device appears"),
	sw("port,only-port", "whatever is at the port"), sw("device,only-device", "the device at whatever port"), sw("list-device-classes", "list the classes"),
}

func deviceActions() []action {
	return []action{
		act("list,ls,l", "[VM…]", "List devices, and who uses them.", nil),
		act("attach,at,a", "VM BACKEND:PORT[:DEVICE]", "Give a device to a running qube.", nil),
		act("detach,dt,d", "VM [BACKEND:PORT[:DEVICE]]", "Take a device, or all, from a running qube.", nil),
		act("assign,s", "VM BACKEND:PORT[:DEVICE]", "Give a device to a qube whenever it runs.", nil),
		act("unassign,u", "VM [BACKEND:PORT[:DEVICE]]", "End an assignment, or all.", nil),
		act("info,i", "VM [BACKEND:PORT[:DEVICE]]", "Show what is known about devices.", nil),
	}
}

func device(ctx context.Context, t *tool) error {
	if t.has("list-device-classes") {
		b, err := t.c.Call(ctx, "admin.deviceclass.List", "dom0", "", nil)
		if err != nil {
			return err
		}
		return t.lines(adminapi.Lines(b))
	}
	if len(t.args) == 0 {
		return needed("DEVICE_CLASS")
	}
	class := t.args[0]
	t.args = t.args[1:]
	return devices(ctx, t, class)
}

// devices runs a sub-command for one class of devices.
func devices(ctx context.Context, t *tool, class string) error {
	name, args := "list", t.args
	if len(args) > 0 {
		name, args = args[0], args[1:]
	}
	a, err := t.cmd.action(name)
	if err != nil {
		return err
	}
	d := deviceTool{t, "admin.vm.device." + class + ".", class}
	if a.names[0] == "list" {
		return d.listAll(ctx, args)
	}
	t.args = args
	vm, rest, err := t.one(ctx)
	if err != nil {
		return err
	}
	var id *deviceID
	switch {
	case len(rest) > 1:
		return usageError("unrecognized arguments: " + strings.Join(rest[1:], " "))
	case len(rest) == 1:
		if id, err = d.parseID(rest[0]); err != nil {
			return err
		}
	case a.names[0] == "attach" || a.names[0] == "assign":
		return needed("BACKEND:DEVICE_ID")
	}
	return map[string]func(context.Context, string, *deviceID) error{
		"attach": d.attach, "detach": d.detach, "assign": d.assign, "unassign": d.unassign, "info": d.info,
	}[a.names[0]](ctx, string(vm.Name), id)
}

type deviceTool struct {
	*tool
	method, class string
}

// deviceID names a device; "*" is any.
type deviceID struct{ backend, port, id string }

func (d deviceTool) parseID(s string) (*deviceID, error) {
	f := strings.SplitN(s, ":", 3)
	if len(f) < 2 || f[0] == "" || f[1] == "" {
		return nil, usageError("argument BACKEND:PORT: invalid value: '" + s + "'")
	}
	out := deviceID{f[0], f[1], "*"}
	if len(f) == 3 {
		out.id = f[2]
	}
	if d.has("port") {
		out.id = "*"
	}
	if d.has("device") {
		out.port = "*"
	}
	return &out, nil
}

func (i deviceID) String() string { return i.backend + ":" + i.port + ":" + i.id }

// arg is how a call names the device (spec admin-api.md §7, device API).
func (i deviceID) arg() string {
	id := strings.ReplaceAll(i.id, "?******", "_______")
	return strings.NewReplacer("*", "_").Replace(i.backend+"+"+i.port) + "+" + strings.NewReplacer("*", "_", ":", "+").Replace(id)
}

func (i deviceID) matches(o deviceID) bool {
	same := func(a, b string) bool { return a == b || a == "*" || b == "*" }
	return i.backend == o.backend && same(i.port, o.port) && same(i.id, o.id)
}

// deviceLine is a line of Available, Attached or Assigned.
type deviceLine struct {
	deviceID
	data map[string]string
}

// query reads one of the lists. Lines that cannot be read are an error, not skipped.
func (d deviceTool) query(ctx context.Context, list, vm, arg string) ([]deviceLine, error) {
	b, err := d.c.Call(ctx, d.method+list, vm, arg, nil)
	if err != nil {
		return nil, err
	}
	var out []deviceLine
	for _, l := range adminapi.Lines(b) {
		data, err := deviceData(l)
		if err != nil {
			return nil, fmt.Errorf("device of %s: %w", vm, err)
		}
		out = append(out, deviceLine{deviceID{data["backend_domain"], data["port_id"], data["device_id"]}, data})
	}
	return out, nil
}

// deviceData reads "HEAD key='value' …", where a quote in a value is written \'.
func deviceData(line string) (map[string]string, error) {
	out := map[string]string{}
	_, rest, ok := strings.Cut(line, " ")
	for ok && rest != "" {
		key, after, found := strings.Cut(rest, "='")
		if !found || key == "" {
			return nil, fmt.Errorf("cannot read %.80q", line)
		}
		var value strings.Builder
		closed := false
		for !closed && after != "" {
			switch {
			case strings.HasPrefix(after, `\'`):
				value.WriteByte('\'')
				after = after[2:]
			case after[0] == '\'':
				closed, after = true, after[1:]
			default:
				value.WriteByte(after[0])
				after = after[1:]
			}
		}
		if !closed {
			return nil, fmt.Errorf("cannot read %.80q", line)
		}
		out[strings.TrimSpace(key)] = value.String()
		rest = strings.TrimPrefix(after, " ")
	}
	return out, nil
}

// payload describes a device and how it is given away.
func (d deviceTool) payload(i deviceID, vm, mode string) (string, error) {
	options, err := keyValues("option", d.list("option"))
	if err != nil {
		return "", err
	}
	if v, ok := options["ro"]; ok {
		delete(options, "ro")
		options["read-only"] = map[bool]string{true: "yes", false: "no"}[slices.Contains([]string{"1", "true", "yes"}, strings.ToLower(v))]
	}
	if d.has("ro") {
		options["read-only"] = "yes"
	}
	words := []string{"device_id", i.id, "port_id", i.port, "devclass", d.class, "backend_domain", i.backend, "mode", mode, "frontend_domain", vm}
	for _, k := range slices.Sorted(maps.Keys(options)) {
		words = append(words, "_"+k, options[k])
	}
	var b strings.Builder
	for j := 0; j < len(words); j += 2 {
		if j > 0 {
			b.WriteByte(' ')
		}
		b.WriteString(words[j] + "='" + strings.ReplaceAll(words[j+1], "'", `\'`) + "'")
	}
	return b.String(), nil
}

// exposed finds the device that a backend offers at a port.
func (d deviceTool) exposed(ctx context.Context, i deviceID) (deviceLine, bool, error) {
	all, err := d.query(ctx, "Available", i.backend, "")
	for _, l := range all {
		if i.matches(l.deviceID) {
			return l, true, err
		}
	}
	return deviceLine{}, false, err
}

func (d deviceTool) attach(ctx context.Context, vm string, id *deviceID) error {
	dev, ok, err := d.exposed(ctx, *id)
	if err == nil && !ok {
		err = d.notThere(*id)
	}
	if err == nil {
		err = d.send(ctx, "Attach", dev.deviceID, vm, "manual")
	}
	if !d.has("persistent") {
		return err
	}
	// With --persistent the assignment counts; attaching is tried.
	return d.assignAs(ctx, vm, *id, "required")
}

func (d deviceTool) notThere(i deviceID) error {
	return plainError(fmt.Sprintf("backend vm %s doesn't expose %s device '%s'", safetext.Name(i.backend, 31), safetext.Name(d.class, 31), safetext.Name(i.port, 100)))
}

func (d deviceTool) send(ctx context.Context, verb string, i deviceID, vm, mode string) error {
	payload, err := d.payload(i, vm, mode)
	if err != nil {
		return err
	}
	return d.call(ctx, d.method+verb, vm, i.arg(), payload)
}

func (d deviceTool) assign(ctx context.Context, vm string, id *deviceID) error {
	mode := "auto-attach"
	switch {
	case d.has("required"):
		mode = "required"
	case d.has("ask"):
		mode = "ask-to-attach"
	}
	return d.assignAs(ctx, vm, *id, mode)
}

// assignAs assigns the device that is at the port now, unless --port says whichever.
func (d deviceTool) assignAs(ctx context.Context, vm string, i deviceID, mode string) error {
	if !d.has("port") && i.id == "*" {
		at := i
		if d.has("device") {
			_, at.port, _ = strings.Cut(d.args[len(d.args)-1], ":")
		}
		dev, ok, err := d.exposed(ctx, at)
		if err != nil {
			return err
		}
		if !ok {
			return d.notThere(at)
		}
		i.id = dev.id
	}
	return d.send(ctx, "Assign", i, vm, mode)
}

func (d deviceTool) detach(ctx context.Context, vm string, id *deviceID) error {
	return d.release(ctx, "Attached", "Detach", vm, id)
}

func (d deviceTool) unassign(ctx context.Context, vm string, id *deviceID) error {
	return d.release(ctx, "Assigned", "Unassign", vm, id)
}

// release ends what a list shows; of id when it is not nil.
func (d deviceTool) release(ctx context.Context, list, verb, vm string, id *deviceID) error {
	have, err := d.query(ctx, list, vm, "")
	if err != nil {
		return err
	}
	found := id == nil
	for _, l := range have {
		if id != nil && !id.matches(l.deviceID) {
			continue
		}
		found = true
		if err := d.call(ctx, d.method+verb, vm, l.arg(), ""); err != nil {
			return err
		}
	}
	if !found {
		return plainError(fmt.Sprintf("%s is not %s", safetext.Name(id.String(), 200), strings.ToLower(list)))
	}
	return nil
}

// describe is what a person recognises a device by.
func (l deviceLine) describe() string {
	var words []string
	for _, k := range []string{"vendor", "manufacturer", "product", "name"} {
		if v := l.data[k]; v != "" && v != "unknown" && !slices.Contains(words, v) {
			words = append(words, v)
		}
	}
	if v := l.data["serial"]; v != "" && v != "unknown" {
		words = append(words, "("+v+")")
	}
	if len(words) == 0 {
		return l.id
	}
	return strings.Join(words, " ")
}

func (d deviceTool) info(ctx context.Context, vm string, id *deviceID) error {
	have, err := d.query(ctx, "Available", vm, "")
	if id != nil {
		have, err = d.query(ctx, "Available", id.backend, "")
	}
	if err != nil {
		return err
	}
	shown := false
	for _, l := range have {
		if id != nil && !id.matches(l.deviceID) {
			continue
		}
		shown = true
		if err := d.pairs(sorted(l.data)); err != nil {
			return err
		}
	}
	if id != nil && !shown {
		return d.notThere(*id)
	}
	return nil
}

// held says who uses which device, over all qubes.
func (d deviceTool) held(ctx context.Context, list string) (map[deviceID][]string, error) {
	vms, err := d.all(ctx)
	if err != nil {
		return nil, err
	}
	lines, err := d.everywhere(ctx, vms, list)
	if err != nil {
		return nil, err
	}
	out := map[deviceID][]string{}
	for i, ls := range lines {
		for _, l := range ls {
			mode := "attached"
			if list == "Assigned" {
				mode = l.data["mode"]
			}
			var options []string
			for _, k := range slices.Sorted(maps.Keys(l.data)) {
				if o, ok := strings.CutPrefix(k, "_"); ok {
					options = append(options, o+"="+l.data[k])
				}
			}
			if len(options) > 0 {
				mode += ": " + strings.Join(options, ", ")
			}
			out[l.deviceID] = append(out[l.deviceID], fmt.Sprintf("%s (%s)", vms[i].Name, mode))
		}
	}
	return out, nil
}

func (d deviceTool) everywhere(ctx context.Context, vms []adminclient.ListedVM, list string) ([][]deviceLine, error) {
	lines := make([][]deviceLine, len(vms))
	index := map[string]int{}
	for i, v := range vms {
		index[string(v.Name)] = i
	}
	for _, err := range try(ctx, vms, func(ctx context.Context, v adminclient.ListedVM) (err error) {
		lines[index[string(v.Name)]], err = d.query(ctx, list, string(v.Name), "")
		return err
	}) {
		if err != nil && !isKind(err, adminapi.VMNotFound) {
			return nil, err
		}
	}
	return lines, nil
}

func (d deviceTool) listAll(ctx context.Context, names []string) error {
	d.args = names
	vms, err := d.selected(ctx, true)
	if err != nil {
		return err
	}
	if len(names) == 0 && !d.has("all") {
		if vms, err = d.all(ctx); err != nil {
			return err
		}
	}
	available, err := d.everywhere(ctx, vms, "Available")
	if err != nil {
		return err
	}
	held, err := d.held(ctx, "Attached")
	if err != nil {
		return err
	}
	sbdf := d.has("with-sbdf") && d.class == "pci"
	var rows [][]string
	add := func(l deviceLine, star string, users []string) {
		for i := range users {
			users[i] = star + users[i]
		}
		row := []string{l.backend + ":" + l.port, l.describe(), strings.Join(users, ", ")}
		if sbdf {
			row = slices.Insert(row, 1, l.data["_sbdf"])
		}
		rows = append(rows, row)
	}
	for _, lines := range available {
		for _, l := range lines {
			var users []string
			for id, u := range held {
				if id.matches(l.deviceID) {
					users = append(users, u...)
				}
			}
			slices.Sort(users)
			add(l, "", users)
		}
	}
	if d.has("assignments") {
		assigned, err := d.held(ctx, "Assigned")
		if err != nil {
			return err
		}
		for id, users := range assigned {
			add(deviceLine{id, nil}, "*", users)
		}
	}
	slices.SortFunc(rows, slices.Compare[[]string])
	head := []string{"BACKEND:DEVID", "DESCRIPTION", "USED BY"}
	if sbdf {
		head = slices.Insert(head, 1, "SBDF")
	}
	if terminal(d.Stdout) {
		return d.table(head, rows)
	}
	return d.table(nil, rows, head...)
}
