package admin_test

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"encoding/json"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// small makes the system of the protocol recordings: a template and one qube. UUIDs are
// taken from a listing in the recording.
func small(t *testing.T, listing []byte) *world {
	t.Helper()
	w := newWorld(t, "full")
	uuid := regexp.MustCompile(`(?m)^(\S+) class=(\S+) state=\S+ uuid=(\S+)$`)
	w.must("admin.property.Set+default_kernel", "dom0", "6.12.40-1.fc41")
	for _, m := range uuid.FindAllSubmatch(listing, -1) {
		w.uuid = string(m[3])
		switch name := string(m[1]); string(m[2]) {
		case "TemplateVM":
			w.must("admin.vm.Create.TemplateVM", "dom0", "name="+name+" label=black")
		case "AppVM":
			w.must("admin.vm.Create.AppVM+debian-12", "dom0", "name="+name+" label=blue")
		}
	}
	w.uuid = ""
	w.drain(0)
	return w
}

// must makes a call as dom0 that succeeds.
func (w *world) must(method, dest, payload string) {
	w.t.Helper()
	b := w.exchange("qubesd.sock", []byte(method+" dom0 name "+dest+"\x00"+payload))
	if !bytes.HasPrefix(b, []byte("0\x00")) {
		w.t.Fatalf("%s: %q", method, b)
	}
}

func TestCorpusAdminProtocol(t *testing.T) {
	type exchange struct {
		Name, Send, Reply, Pad string
		SendLen                int  `json:"send_len"`
		HalfClose              bool `json:"half_close"`
		ServerClosed           bool `json:"server_closed"`
	}
	f, err := os.Open(filepath.Join(corpus(t), "protocol.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var all []exchange
	for sc := bufio.NewScanner(f); sc.Scan(); {
		var e exchange
		if err := json.Unmarshal(sc.Bytes(), &e); err != nil {
			t.Fatal(err)
		}
		all = append(all, e)
	}
	listing, _ := hex.DecodeString(all[0].Reply)
	w := small(t, listing[2:])
	agreed := 0
	for _, e := range all {
		t.Run(strings.ReplaceAll(e.Name, " ", "_"), func(t *testing.T) {
			send, _ := hex.DecodeString(e.Send)
			want, _ := hex.DecodeString(e.Reply)
			if e.Pad != "" {
				send = append(send, bytes.Repeat(send[len(send)-1:], e.SendLen-len(send))...)
			}
			// The stock client formats messages, so a '%' has to be doubled; the recorded
			// server forgot, and crashed its client.
			want = bytes.ReplaceAll(want, []byte("%"), []byte("%%"))
			if !e.HalfClose {
				silent(t, w, send)
			} else if got := w.exchange("qubesd.sock", send); !bytes.Equal(got, want) {
				t.Fatalf("got %.300q, want %.300q", got, want)
			}
			agreed++
		})
	}
	t.Logf("corpus admin/protocol: %d/%d", agreed, len(all))
}

// silent checks that the server waits for the end of the request.
func silent(t *testing.T, w *world, send []byte) {
	conn, err := net.Dial("unix", w.sockets["qubesd.sock"])
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := conn.Write(send); err != nil {
		t.Fatal(err)
	}
	_ = conn.SetReadDeadline(time.Now().Add(200 * time.Millisecond))
	n, err := conn.Read(make([]byte, 1))
	if ne, ok := err.(net.Error); n != 0 || !ok || !ne.Timeout() {
		t.Fatalf("got %d bytes, %v; want silence", n, err)
	}
}

// TestCorpusAdminStreams compares the raw bytes of two subscriptions.
func TestCorpusAdminStreams(t *testing.T) {
	type step struct {
		Subscribe, Data string
		After           json.RawMessage
		Stats           string
	}
	f, err := os.Open(filepath.Join(corpus(t), "streams.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	w := small(t, []byte("debian-12 class=TemplateVM state=Halted uuid=d1f6f86c-029a-4425-bb91-433a6aa79987\nwork class=AppVM state=Halted uuid=daea58ba-4c73-4924-8d87-78e7d3400bbc\n"))
	subs := map[string]*listener{}
	last, agreed, total := "", 0, 0
	for sc := bufio.NewScanner(f); sc.Scan(); {
		var s step
		if err := json.Unmarshal(sc.Bytes(), &s); err != nil {
			t.Fatal(err)
		}
		if s.Stats != "" {
			continue // see TestStats: numbers are the machine's
		}
		total++
		want, _ := hex.DecodeString(s.Data)
		if string(s.After) == `"connect"` {
			subs[s.Subscribe] = listen(t, w, s.Subscribe)
		} else if call := string(s.After); call != last {
			last = call
			var c []string
			if err := json.Unmarshal(s.After, &c); err != nil {
				t.Fatal(err)
			}
			w.must(c[0]+"+"+c[2], c[1], c[3])
		}
		got := subs[s.Subscribe].take(len(want))
		if !bytes.Equal(got, want) {
			t.Errorf("%s after %s: got %q, want %q", s.Subscribe, s.After, got, want)
			continue
		}
		agreed++
	}
	t.Logf("corpus admin/streams: %d/%d", agreed, total)
}

// listener collects the bytes of a subscription.
type listener struct{ ch chan []byte }

func listen(t *testing.T, w *world, dest string) *listener {
	conn, err := net.Dial("unix", w.sockets["qubesd.sock"])
	if err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Write([]byte("admin.Events+ dom0 name " + dest + "\x00")); err != nil {
		t.Fatal(err)
	}
	_ = conn.(*net.UnixConn).CloseWrite()
	l := &listener{ch: make(chan []byte, 1000)}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			b := make([]byte, 65536)
			n, err := conn.Read(b)
			if err != nil {
				return
			}
			l.ch <- b[:n]
		}
	}()
	t.Cleanup(func() { conn.Close(); <-done })
	return l
}

// take gives what arrived, waiting a moment for at least n bytes.
func (l *listener) take(n int) []byte {
	var out []byte
	wait := 5 * time.Millisecond
	if n > 0 {
		wait = 200 * time.Millisecond
	}
	for {
		select {
		case b := <-l.ch:
			out = append(out, b...)
			if len(out) >= n {
				wait = 5 * time.Millisecond
			}
		case <-time.After(wait):
			return out
		}
	}
}
