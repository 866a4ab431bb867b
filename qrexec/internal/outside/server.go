package outside

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os/exec"
	"sync"
	"syscall"

	"qubist/core/safetext"
	"qubist/qrexec/internal/local"
	"qubist/qrexec/internal/proc"
	"qubist/qrexec/rpcname"
	"qubist/qrexec/wire"
)

const (
	// maxRunning bounds the services that run at one time, those whose caller is gone too.
	maxRunning = wire.NumPorts
	// maxAsked bounds requests in progress: a client makes no more.
	maxAsked = 2 * wire.NumPorts
	// maxReason is how much of an error the daemon is told.
	maxReason = 512
)

// Config is what the server may do. All fields but PolicyProgram are needed.
type Config struct {
	Services      proc.Dirs
	Socket        Names
	PolicyProgram string // "" allows none
	Log           *slog.Logger
}

// server is the process outside.
type server struct {
	cfg  Config
	link *link
	ctx  context.Context

	running chan struct{} // places
	asked   chan struct{}
	wg      sync.WaitGroup
}

// Serve does what the client asks until it is gone, then removes the local socket. Services
// that run go on.
func Serve(ctx context.Context, conn *net.UnixConn, cfg Config) error {
	ctx, cancel := context.WithCancel(ctx)
	s := &server{cfg: cfg, link: &link{conn: conn}, ctx: ctx, running: make(chan struct{}, maxRunning), asked: make(chan struct{}, maxAsked)}
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	var offer *offer
	defer func() {
		cancel()
		offer.withdraw()
		s.wg.Wait()
	}()
	for {
		var q request
		files, err := s.link.receive(&q)
		closeAll(files) // none are expected
		if errors.Is(err, io.EOF) || errors.Is(err, net.ErrClosed) || errors.Is(err, syscall.ECONNRESET) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("reading a request: %w", err)
		}
		switch q.Op {
		case opListen:
			offer.withdraw()
			if offer, err = cfg.Socket.offer(); err != nil {
				s.fail(q.ID, err)
				continue
			}
			s.reply(answer{ID: q.ID}, offer.raw)
		case opWithdraw:
			offer.withdraw()
			offer = nil
			s.reply(answer{ID: q.ID})
		case opCall, opPolicy:
			select {
			case s.asked <- struct{}{}:
			default:
				return errors.New("too many requests at once")
			}
			s.wg.Go(func() {
				defer func() { <-s.asked }()
				if q.Op == opCall {
					s.call(q)
				} else {
					s.policy(q)
				}
			})
		default:
			return fmt.Errorf("unknown request %q", q.Op)
		}
	}
}

// reply sends an answer. A client that is gone shows in the reader.
func (s *server) reply(a answer, files ...syscall.RawConn) {
	if err := s.link.send(a, files...); err != nil && s.ctx.Err() == nil {
		s.cfg.Log.Error("answering the daemon", "reason", err)
		s.link.conn.Close()
	}
}

func (s *server) fail(id uint64, err error) {
	s.reply(answer{ID: id, Error: safetext.Line(err.Error(), maxReason), Code: proc.ExitCode(err)})
}

// call starts a service or connects to it. The command must name one: the runner has no way
// to a shell.
func (s *server) call(q request) {
	cmd, err := rpcname.ParseDom0(q.Command)
	if err != nil {
		s.fail(q.ID, err)
		return
	}
	select {
	case s.running <- struct{}{}:
	default:
		s.fail(q.ID, fmt.Errorf("%d services of dom0 run for this qube already", maxRunning))
		return
	}
	runner := local.Runner{Dirs: s.cfg.Services, Log: s.cfg.Log}
	o, err := runner.Open(s.ctx, cmd)
	if o.Process == nil || err != nil {
		<-s.running
	}
	switch {
	case err != nil:
		s.fail(q.ID, err)
	case o.Socket != nil:
		s.connected(q.ID, o)
	default:
		s.started(q.ID, o.Process)
		s.wg.Go(func() { runner.LogStderr(s.ctx, o.Process, cmd) })
	}
}

// connected passes on a connection to a socket service.
func (s *server) connected(id uint64, o local.Opened) {
	defer o.Socket.Close()
	raw, err := o.Socket.SyscallConn()
	if err != nil {
		s.fail(id, err)
		return
	}
	s.reply(answer{ID: id, Socket: true, SkipDescriptor: o.Config.SkipDescriptor,
		ExitOnClientEOF: o.Config.ExitOnClientEOF, ExitOnServiceEOF: o.Config.ExitOnServiceEOF}, raw)
}

// started passes on a program's input and output, and later how it ended.
func (s *server) started(id uint64, p *proc.Process) {
	in, err1 := p.Stdin.SyscallConn()
	out, err2 := p.Stdout.SyscallConn()
	if err := errors.Join(err1, err2); err != nil {
		s.fail(id, err)
	} else {
		s.reply(answer{ID: id}, in, out)
	}
	p.Stdin.Close()
	p.Stdout.Close()
	s.wg.Go(func() {
		select {
		case <-p.Done():
			<-s.running
			s.reply(answer{ID: id, Exited: true, Code: p.Code()})
		case <-s.ctx.Done():
		}
	})
}

// policy runs the policy program. It does not pass on a requested source, as the original
// does not.
func (s *server) policy(q request) {
	if s.cfg.PolicyProgram == "" || len(q.Args) != 3 {
		s.fail(q.ID, errors.New("no policy program was named"))
		return
	}
	cmd := exec.CommandContext(s.ctx, s.cfg.PolicyProgram, "--", q.Args[0], q.Args[1], q.Args[2])
	out, err := cmd.Output()
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit):
		s.reply(answer{ID: q.ID, Exited: true}) // a refusal
	case err != nil:
		s.fail(q.ID, fmt.Errorf("running the policy program: %w", err))
	case len(out) > wire.MaxAnswer:
		s.fail(q.ID, errors.New("the policy program says too much"))
	default:
		s.reply(answer{ID: q.ID, Output: string(out)})
	}
}
