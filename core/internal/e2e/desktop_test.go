package e2e

import (
	"fmt"
	"image"
	"image/color"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

// TestDesktop is the first hour of a user, in order. The essential steps are those without
// which the later ones could only fail.
func TestDesktop(t *testing.T) {
	d := newDesk(t)
	steps := []struct {
		name      string
		do        func(*desk)
		essential bool
	}{
		{"FirstRun", firstRun, true},
		{"SecondRun", secondRun, false},
		{"Console", console, false},
		{"ServiceQubeStarts", serviceQube, false},
		{"TemplateQubesStart", templateQubes, true},
		{"CommandsAndExitCodes", commands, false},
		{"FramedWindow", framedWindow, true},
		{"TypedCallIsAsked", typedCall, false},
		{"BytesBetweenQubes", bytesBetweenQubes, false},
		{"FileCopied", fileCopied, false},
		{"RefusedCalls", refusedCalls, false},
		{"ResizeAndEnd", resizeAndEnd, false},
		{"KilledDaemonsComeBack", killedDaemons, false},
		{"GuestReboots", guestReboots, false},
		{"DisposableLeavesNothing", disposable, false},
		{"ShutDown", shutDown, false},
	}
	for _, s := range steps {
		if !t.Run(s.name, func(t *testing.T) {
			outer := d.t
			d.t = t
			defer func() { d.t = outer }()
			began := time.Now()
			s.do(d)
			t.Logf("step took %.1f s", time.Since(began).Seconds())
		}) && s.essential {
			t.Fatal("later steps need this one")
		}
	}
}

func (d *desk) bring(limit time.Duration) string {
	d.t.Helper()
	return d.do(limit, "qubist-up", "run", "--no-console", "--root", d.root, "--cache", d.cache)
}

func firstRun(d *desk) {
	began := time.Now()
	out := d.bring(5 * time.Minute)
	d.figure("first run, template cached: to the console", time.Since(began))
	if display, _ := d.display(); display == "" || !strings.Contains(out, display) {
		d.t.Errorf("no virtual display was announced:\n%s", out)
	}
	list := d.do(20*time.Second, "qvm-ls")
	for _, want := range []string{
		`dom0 +Running +AdminVM +black`, `debian-12 +Halted +TemplateVM`, `sys-net +Halted +AppVM +red +debian-12 +-`,
		`sys-firewall +Halted +AppVM +green +debian-12 +sys-net`, `personal +Halted +AppVM +yellow +debian-12 +sys-firewall`,
		`work +Halted +AppVM +blue +debian-12 +sys-firewall`, `untrusted +Halted +AppVM +red +debian-12 +sys-firewall`,
		`vault +Halted +AppVM +black +debian-12 +-`, `default-dvm +Halted +AppVM`,
	} {
		if !regexp.MustCompile(`(?m)^` + want).MatchString(list) {
			d.t.Errorf("qvm-ls has no line like %q:\n%s", want, list)
		}
	}
}

func secondRun(d *desk) {
	began := time.Now()
	d.bring(time.Minute)
	d.figure("later run: to the console", time.Since(began))
}

func console(d *desk) {
	term := d.open("qubist", "--root", d.root)
	term.expect(10*time.Second, "work")
	term.expect(10*time.Second, "sys-firewall")
	term.expect(10*time.Second, "TCG")
	term.press("?")
	term.expect(5*time.Second, "Moving and choosing")
	term.press("\x1b")
	time.Sleep(300 * time.Millisecond) // a lone escape is told from a sequence by time
	term.press("q")
	if err := term.ended(10 * time.Second); err != nil {
		d.t.Errorf("the console ended with %v", err)
	}
}

func serviceQube(d *desk) {
	began := time.Now()
	d.do(2*time.Minute, "qvm-start", "sys-firewall") // and sys-net before it
	d.figure("two service qubes, one after the other: to agent", time.Since(began))
	for _, vm := range []string{"sys-net", "sys-firewall"} {
		if s := d.state(vm); s != "Running" {
			d.t.Errorf("%s is %s", vm, s)
		}
	}
	if got := strings.TrimSpace(d.inside("sys-firewall", "cat /proc/sys/kernel/hostname; cat /proc/1/comm")); got != "sys-firewall\ninit" && got != "sys-firewall\nqubes-init" {
		d.t.Errorf("sys-firewall says %q", got)
	}
}

func templateQubes(d *desk) {
	began := time.Now()
	d.do(3*time.Minute, "qvm-start", "work")
	d.figure("template qube: to agent", time.Since(began))
	d.do(3*time.Minute, "qvm-start", "vault")
	if got := strings.TrimSpace(d.inside("work", "cat /proc/1/comm")); got != "systemd" {
		d.t.Errorf("process 1 of work is %q", got)
	}
}

func commands(d *desk) {
	got := d.inside("work", "id -un; hostname; pwd; sleep 1; echo to-stderr >&2") // streams are not ordered between each other
	if got != "user\nwork\n/home/user\nto-stderr\n" {
		d.t.Errorf("work says %q", got)
	}
	for _, code := range []int{0, 7, 255} {
		out, err := d.try(time.Minute, "qvm-run", "--pass-io", "work", fmt.Sprintf("exit %d", code))
		if got := exitCode(err); got != code {
			d.t.Errorf("exit %d arrived as %d: %s", code, got, out)
		}
	}
	d.inside("work", "echo kept > /home/user/kept && sync")
}

func exitCode(err error) int {
	if err == nil {
		return 0
	}
	if e, ok := err.(interface{ ExitCode() int }); ok {
		return e.ExitCode()
	}
	return -1
}

// window is the client area's id and place on the desktop.
type window struct {
	id         string
	x, y, w, h int
}

// find looks for a window by a regular expression over its title.
func (d *desk) find(title string) (window, error) {
	ids, err := d.x("xdotool", "search", "--onlyvisible", "--name", title)
	if err != nil || ids == "" {
		return window{}, fmt.Errorf("no visible window titled like %q (%v)", title, err)
	}
	id := strings.Fields(ids)[0]
	shell, err := d.x("xdotool", "getwindowgeometry", "--shell", id)
	if err != nil {
		return window{}, err
	}
	w := window{id: id}
	for _, line := range strings.Split(shell, "\n") {
		name, value, _ := strings.Cut(line, "=")
		n, _ := strconv.Atoi(value)
		switch name {
		case "X":
			w.x = n
		case "Y":
			w.y = n
		case "WIDTH":
			w.w = n
		case "HEIGHT":
			w.h = n
		}
	}
	return w, nil
}

// near says whether two colours look the same.
func near(c color.Color, want uint32) bool {
	r, g, b, _ := c.RGBA()
	diff := func(x uint32, y uint32) int { return abs(int(x>>8) - int(y&0xff)) }
	return diff(r, want>>16) < 12 && diff(g, want>>8) < 12 && diff(b, want) < 12
}

func abs(n int) int { return max(n, -n) }

// sides gives, for the outermost `depth` pixels of each side, the share that has the colour.
func sides(img image.Image, w window, colour uint32, depth int) map[string]float64 {
	share := func(r image.Rectangle) float64 {
		n := 0
		for y := r.Min.Y; y < r.Max.Y; y++ {
			for x := r.Min.X; x < r.Max.X; x++ {
				if near(img.At(x, y), colour) {
					n++
				}
			}
		}
		return float64(n) / float64(max(1, r.Dx()*r.Dy()))
	}
	x1, y1 := w.x+w.w, w.y+w.h
	return map[string]float64{
		"top":    share(image.Rect(w.x, w.y, x1, w.y+depth)),
		"bottom": share(image.Rect(w.x, y1-depth, x1, y1)),
		"left":   share(image.Rect(w.x, w.y, w.x+depth, y1)),
		"right":  share(image.Rect(x1-depth, w.y, x1, y1)),
	}
}

const blue, red = 0x3465a4, 0xcc0000

// framed asserts that a window wears its colour on all four sides.
func (d *desk) framed(title string, colour uint32, shot string) window {
	d.t.Helper()
	var w window
	d.until(60*time.Second, "a framed window "+title, func() (err error) {
		if w, err = d.find(title); err != nil {
			return err
		}
		for side, share := range sides(d.screenshot(shot), w, colour, 3) {
			if share < 0.5 {
				return fmt.Errorf("%s side of %+v has only %.0f %% of the colour", side, w, 100*share)
			}
		}
		return nil
	})
	return w
}

func framedWindow(d *desk) {
	began := time.Now()
	d.do(time.Minute, "qvm-run", "work", "xterm -fa 'DejaVu Sans Mono' -fs 10 -geometry 90x24 >/dev/null 2>&1 & true")
	d.until(90*time.Second, "the xterm of work", func() error { _, err := d.find(`^\[work\]`); return err })
	d.figure("xterm in a running qube: command to window", time.Since(began))
	w := d.framed(`^\[work\]`, blue, "desktop-work")
	if w.w < 300 || w.h < 200 {
		d.t.Errorf("the window is too small to be that xterm: %+v", w)
	}
}

// typeInto types a command line into the window of a qube.
func (d *desk) typeInto(title, line string) {
	d.t.Helper()
	w, err := d.find(title)
	if err != nil {
		d.t.Fatal(err)
	}
	for _, args := range [][]string{
		{"mousemove", strconv.Itoa(w.x + w.w/2), strconv.Itoa(w.y + w.h/2)}, {"click", "1"},
	} {
		if _, err := d.x("xdotool", args...); err != nil {
			d.t.Fatal(err)
		}
	}
	time.Sleep(time.Second) // the guest's focus follows under TCG; typing itself is checked by its effect
	for _, args := range [][]string{{"type", "--delay", "40", line}, {"key", "Return"}} {
		if _, err := d.x("xdotool", args...); err != nil {
			d.t.Fatal(err)
		}
	}
}

// prompt opens the question's program and waits until it shows a call of service.
func (d *desk) prompt(service string) *terminal {
	d.t.Helper()
	term := d.open("qrexec-policy-agent", "--root", d.root, "--attach")
	term.expect(60*time.Second, service)
	return term
}

// allow answers the shown question with yes, after the guard time: to the targets, the
// name, choose it, allow.
func (term *terminal) allow() {
	term.t.Helper()
	time.Sleep(time.Second)
	for _, keys := range []string{"\t", "vault", "\r", "\r"} {
		term.press(keys)
		time.Sleep(300 * time.Millisecond)
	}
}

func typedCall(d *desk) {
	d.typeInto(`^\[work\]`, "echo typed-$((40+2)) | qrexec-client-vm vault test.Echo > /tmp/answer; echo $? > /tmp/code")
	began := time.Now()
	term := d.prompt("test.Echo")
	defer term.close() // only one front end at a time
	d.figure("enter in the xterm to the question", time.Since(began))
	term.expect(5*time.Second, "work")
	term.expect(5*time.Second, "vault")
	term.press("\t\r") // within the first 500 ms: must not count
	if strings.TrimSpace(d.inside("work", "cat /tmp/code 2>/dev/null; true")) != "" {
		d.t.Fatal("a key pressed before the guard time answered the question")
	}
	term.allow()
	d.until(60*time.Second, "the answer in work", func() error {
		if got := d.inside("work", "cat /tmp/answer /tmp/code 2>&1; true"); got != "typed-42\n0\n" {
			return fmt.Errorf("work has %q", got)
		}
		return nil
	})
	d.screenshot("desktop-answered")
}

// asked runs a command in work that calls test.Echo, answers it, and gives its output.
func (d *desk) asked(command string, answer func(*terminal)) string {
	d.t.Helper()
	return d.askedFor("test.Echo", command, answer)
}

// askedFor runs a command in work that makes an asked call of service, answers the
// question, and gives the command's output.
func (d *desk) askedFor(service, command string, answer func(*terminal)) string {
	d.t.Helper()
	out := make(chan string, 1)
	go func() {
		text, err := d.try(3*time.Minute, "qvm-run", "--pass-io", "work", command)
		out <- fmt.Sprintf("%s[%v]", text, exitCode(err))
	}()
	term := d.prompt(service)
	defer term.close() // only one front end at a time
	answer(term)
	select {
	case got := <-out:
		return got
	case <-time.After(3 * time.Minute):
		d.t.Fatal("the call did not end")
		return ""
	}
}

func bytesBetweenQubes(d *desk) {
	const command = `head -c 4000000 /dev/urandom > /tmp/sent && date +%s.%N > /tmp/t0 &&
		qrexec-client-vm vault test.Echo < /tmp/sent > /tmp/back && cmp /tmp/sent /tmp/back && echo same`
	if got := d.asked(command, (*terminal).allow); got != "same\n[0]" {
		d.t.Errorf("4 MB to vault and back: %q", got)
	}
}

// fileCopied sends a folder with qvm-copy: bytes and permissions arrive, under the sender's
// name; a second copy may not replace the first.
func fileCopied(d *desk) {
	d.inside("work", "mkdir -p ~/letters && cd ~/letters && head -c 3000000 /dev/urandom > big && echo '#!/bin/sh' > run && chmod 750 run && ln -s run link")
	const list = "cd %s/letters && sha256sum big run link && stat -c '%%n %%A %%s %%Y' big run && readlink link"
	want := d.inside("work", fmt.Sprintf(list, "~"))
	began := time.Now()
	if got := d.askedFor("qubes.Filecopy", "qvm-copy ~/letters 2>&1", (*terminal).allow); got != "[0]" {
		d.t.Errorf("qvm-copy: %q", got)
	}
	d.figure("3 MB in three files to vault, with the question", time.Since(began))
	if got := d.inside("vault", fmt.Sprintf(list, "~/QubesIncoming/work")); got != want {
		d.t.Errorf("vault has\n%s\nwork sent\n%s", got, want)
	}
	if got := d.inside("vault", "stat -c '%a %U' ~/QubesIncoming/work"); got != "700 user\n" {
		d.t.Errorf("the receiving folder: %q", got)
	}
	if got := d.askedFor("qubes.Filecopy", "qvm-copy ~/letters 2>&1", (*terminal).allow); !strings.Contains(got, "exists there already") || strings.HasSuffix(got, "[0]") {
		d.t.Errorf("a second copy: %q", got)
	}
}

func refusedCalls(d *desk) {
	const call = "echo x | qrexec-client-vm vault test.Echo; echo code=$?"
	for name, answer := range map[string]func(*terminal){
		"enter on deny": func(term *terminal) { time.Sleep(time.Second); term.press("\r") },
		"escape":        func(term *terminal) { time.Sleep(time.Second); term.press("\x1b") },
		"killed prompt": func(term *terminal) { _ = term.cmd.Process.Kill() },
	} {
		if got := d.asked(call, answer); !strings.Contains(got, "code=126") {
			d.t.Errorf("%s: the caller saw %q, want code 126", name, got)
		}
	}
	if got := d.inside("work", "qrexec-client-vm vault my.Unknown </dev/null; echo code=$?"); !strings.Contains(got, "code=126") {
		d.t.Errorf("a call without a rule: %q, want code 126", got)
	}
}

func resizeAndEnd(d *desk) {
	d.typeInto(`^\[work\]`, "stty size > /tmp/before")
	d.until(30*time.Second, "size before", func() error { return nonEmpty(d.inside("work", "cat /tmp/before 2>/dev/null; true")) })
	w, err := d.find(`^\[work\]`)
	if err != nil {
		d.t.Fatal(err)
	}
	if _, err := d.x("xdotool", "windowsize", w.id, strconv.Itoa(w.w+150), strconv.Itoa(w.h+120)); err != nil {
		d.t.Fatal(err)
	}
	d.until(60*time.Second, "a larger terminal in work", func() error {
		d.typeInto(`^\[work\]`, "stty size > /tmp/after")
		before, after := d.inside("work", "cat /tmp/before"), d.inside("work", "cat /tmp/after 2>/dev/null; true")
		if after == "" || after == before {
			return fmt.Errorf("before %q, after %q", before, after)
		}
		return nil
	})
	d.framed(`^\[work\]`, blue, "desktop-resized")
	d.typeInto(`^\[work\]`, "exit")
	d.until(60*time.Second, "the window's end", func() error {
		if w, err := d.find(`^\[work\]`); err == nil {
			return fmt.Errorf("still there: %+v", w)
		}
		return nil
	})
}

func nonEmpty(s string) error {
	if s == "" {
		return fmt.Errorf("nothing yet")
	}
	return nil
}

// killedDaemons kills each daemon of the instance in turn: the qube runs on, its window
// comes back, calls work again.
func killedDaemons(d *desk) {
	d.do(time.Minute, "qvm-run", "work", "xterm -T survivor -e sleep 3600 >/dev/null 2>&1 & true")
	d.framed(`^\[work\] survivor`, blue, "survivor-before")
	boot := d.inside("work", "cat /proc/sys/kernel/random/boot_id")
	for _, program := range []string{"qubes-guid", "qrexec-daemon", "qubes-vchand", "qubesd", "qrexec-policy-daemon"} {
		killed := d.killDaemon(program)
		if len(killed) == 0 {
			d.t.Errorf("no process of %s to kill", program)
		}
		began := time.Now()
		d.until(90*time.Second, "work answering after the end of "+program, func() error {
			out, err := d.try(20*time.Second, "qvm-run", "--pass-io", "work", "cat /proc/sys/kernel/random/boot_id")
			if err != nil || out != boot {
				return fmt.Errorf("%q, %v", out, err)
			}
			return nil
		})
		d.framed(`^\[work\] survivor`, blue, "survivor-after-"+program)
		d.figure("recovery from kill -9 of "+program, time.Since(began))
	}
	if s := d.state("work"); s != "Running" {
		d.t.Errorf("work is %s", s)
	}
}

// killDaemon sends SIGKILL to the processes of one of our programs in this instance.
func (d *desk) killDaemon(program string) (killed []int) {
	d.t.Helper()
	dirs, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		d.t.Fatal(err)
	}
	for _, dir := range dirs {
		exe, err := os.Readlink(filepath.Join(dir, "exe"))
		if err != nil || strings.TrimSuffix(exe, " (deleted)") != filepath.Join(d.bin, program) {
			continue
		}
		args, err := os.ReadFile(filepath.Join(dir, "cmdline"))
		if err != nil || !strings.Contains(string(args), d.root) {
			continue
		}
		pid, err := strconv.Atoi(filepath.Base(dir))
		if err != nil {
			continue
		}
		if p, err := os.FindProcess(pid); err == nil && p.Kill() == nil {
			killed = append(killed, pid)
		}
	}
	return killed
}

func guestReboots(d *desk) {
	boot := d.inside("sys-firewall", "cat /proc/sys/kernel/random/boot_id")
	began := time.Now()
	_, _ = d.try(30*time.Second, "qvm-run", "--pass-io", "-u", "root", "sys-firewall", "reboot -f || echo b > /proc/sysrq-trigger")
	d.until(2*time.Minute, "sys-firewall answering after its reboot", func() error {
		out, err := d.try(20*time.Second, "qvm-run", "--pass-io", "sys-firewall", "cat /proc/sys/kernel/random/boot_id")
		if err != nil || out == boot || out == "" {
			return fmt.Errorf("%q, %v", out, err)
		}
		return nil
	})
	d.figure("guest reboot: to agent", time.Since(began))
}

func disposable(d *desk) {
	before := d.do(20*time.Second, "qvm-ls", "--raw-list")
	began := time.Now()
	out := d.do(4*time.Minute, "qvm-run", "--pass-io", "--dispvm=default-dvm", "hostname; echo from-disposable")
	d.figure("disposable: created, ran a command", time.Since(began))
	if !strings.HasPrefix(out, "disp") || !strings.Contains(out, "from-disposable") {
		d.t.Errorf("the disposable said %q", out)
	}
	name := strings.Fields(out + " x")[0]
	d.until(60*time.Second, "the end of "+name, func() error {
		if after := d.do(20*time.Second, "qvm-ls", "--raw-list"); after != before {
			return fmt.Errorf("qubes are now %q", after)
		}
		return nil
	})
	left, err := filepath.Glob(filepath.Join(d.root, "lib", "*", name+"*"))
	if err != nil || len(left) > 0 {
		d.t.Errorf("left behind: %v %v", left, err)
	}
}

func shutDown(d *desk) {
	began := time.Now()
	d.do(3*time.Minute, "qvm-shutdown", "--wait", "work")
	d.figure("template qube: shut down", time.Since(began))
	if s := d.state("work"); s != "Halted" {
		d.t.Errorf("work is %s", s)
	}
	d.do(3*time.Minute, "qvm-start", "work")
	if got := d.inside("work", "cat /home/user/kept"); got != "kept\n" {
		d.t.Errorf("the private volume lost its file: %q", got)
	}
	d.do(time.Minute, "qvm-kill", "work")
	d.until(30*time.Second, "work halted", func() error {
		if s := d.state("work"); s != "Halted" {
			return fmt.Errorf("work is %s", s)
		}
		return nil
	})
}
