package image

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"

	"qubist/storage/internal/sparse"
)

// baseInfo is base.json: what the base holds.
type baseInfo struct {
	Kernel   string   `json:"kernel"`   // version
	Packages []string `json:"packages"` // "name version"
	Modules  []string `json:"modules"`  // files below modules, in loading order
}

// base returns the directory of the recipe's base, which it builds if need be. A base is
// complete because it appears by one rename.
func (b *Builder) base(ctx context.Context) (string, error) {
	dir := filepath.Join(b.Cache, "base-"+b.Recipe.Hash())
	if _, err := os.Stat(filepath.Join(dir, "base.json")); err == nil && !b.Refresh {
		b.say("base: %s is in the cache", b.Recipe.Name)
		return dir, nil
	}
	if err := b.space(baseSpace); err != nil {
		return "", err
	}
	tmp, err := os.MkdirTemp(b.Cache, "tmp-base-")
	if err != nil {
		return "", err
	}
	defer removeTree(tmp)
	if err := os.Chmod(tmp, 0o755); err != nil { // apt's own user reads below it
		return "", err
	}
	tree := filepath.Join(tmp, "tree")
	if err := b.mmdebstrap(ctx, tmp, tree); err != nil {
		return "", err
	}
	b.say("base: kernel and modules")
	info, err := takeKernel(ctx, b.Recipe, tree, tmp)
	if err != nil {
		return "", err
	}
	b.say("base: file system")
	if err := makeRoot(ctx, tree, tmp); err != nil {
		return "", err
	}
	if err := removeTree(tree); err != nil {
		return "", err
	}
	if err := writeJSON(filepath.Join(tmp, "base.json"), info); err != nil {
		return "", err
	}
	if err := publishDir(tmp, dir); err != nil {
		return "", err
	}
	return dir, nil
}

// mmdebstrap unpacks the distribution into tree.
func (b *Builder) mmdebstrap(ctx context.Context, tmp, tree string) error {
	hook := filepath.Join(tmp, "customize.sh")
	if err := os.WriteFile(hook, b.Recipe.Customize, 0o755); err != nil {
		return err
	}
	defer os.Remove(hook)
	args := []string{"--mode=root", "--variant=minbase", "--dpkgopt=force-unsafe-io",
		`--aptopt=Apt::Install-Recommends "false"`, `--aptopt=Acquire::Languages "none"`,
		"--include=" + strings.Join(b.Recipe.Packages, ","), "--customize-hook=" + hook}
	for _, x := range b.Recipe.Exclude {
		args = append(args, "--dpkgopt=path-exclude="+x)
	}
	dump, err := exec.CommandContext(ctx, "apt-config", "dump").Output()
	if err != nil {
		return fmt.Errorf("reading the apt configuration: %w", err)
	}
	for _, o := range aptOptions(string(dump)) {
		args = append(args, "--aptopt="+o)
	}
	args = append(args, b.Recipe.Suite, tree)
	list, deb822 := hostSources(b.Etc, b.Recipe.Suite)
	for name, text := range map[string]string{"host.list": list, "host.sources": deb822} {
		if text == "" {
			continue
		}
		file := filepath.Join(tmp, name)
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			return err
		}
		defer os.Remove(file)
		args = append(args, file)
	}
	cmd := exec.CommandContext(ctx, "mmdebstrap", args...)
	cmd.Env = append(os.Environ(), "QUBIST_KERNEL="+b.Recipe.Kernel, "LC_ALL=C.UTF-8")
	// Its own mount namespace: whatever happens to it, nothing stays mounted below the tree.
	cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS, Setpgid: true, Pdeathsig: syscall.SIGTERM}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM) }
	cmd.WaitDelay = 20 * time.Second
	// Should this process be killed, the cache stays locked until mmdebstrap has ended too.
	cmd.ExtraFiles = []*os.File{b.lock}
	return b.logged(ctx, cmd, "mmdebstrap")
}

// logged runs cmd, shows its information lines as progress, keeps everything in build.log
// and puts the last lines into the error.
func (b *Builder) logged(ctx context.Context, cmd *exec.Cmd, name string) error {
	path := filepath.Join(b.Cache, "build.log")
	log, err := os.Create(path)
	if err != nil {
		return err
	}
	defer log.Close()
	r, w := io.Pipe()
	cmd.Stdout, cmd.Stderr = w, w
	b.say("%s: starting", name)
	runtime.LockOSThread() // the kernel ties Pdeathsig to the thread
	defer runtime.UnlockOSThread()
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("starting %s: %w", name, err)
	}
	var tail []string
	read := make(chan struct{})
	go func() {
		defer close(read)
		sc := bufio.NewScanner(r)
		sc.Buffer(nil, 1<<20)
		for sc.Scan() {
			line := sc.Text()
			fmt.Fprintln(log, line)
			if step, ok := strings.CutPrefix(line, "I: "); ok && !strings.Contains(step, "received signal") {
				b.say("%s: %s", name, step)
			} else if strings.TrimSpace(line) != "" {
				tail = append(tail, line)
				tail = tail[max(0, len(tail)-12):]
			}
		}
		io.Copy(io.Discard, r) // an endless line must not stop the program
	}()
	err = cmd.Wait()
	w.Close()
	<-read
	if err != nil {
		if ctx.Err() != nil { // its dying words are no news
			return ctx.Err()
		}
		return fmt.Errorf("%w: %v\n%s\n(all of it is in %s)", ErrDistribution, err, strings.Join(tail, "\n"), path)
	}
	return nil
}

// takeKernel moves the kernel out of the tree and copies the initrd's modules.
func takeKernel(ctx context.Context, r Recipe, tree, out string) (baseInfo, error) {
	var info baseInfo
	found, _ := filepath.Glob(filepath.Join(tree, "usr/lib/modules/*/modules.dep"))
	if len(found) != 1 {
		return info, fmt.Errorf("the tree has %d kernels, want one", len(found))
	}
	mods := filepath.Dir(found[0])
	info.Kernel = filepath.Base(mods)
	if err := os.Rename(filepath.Join(tree, "boot/vmlinuz"), filepath.Join(out, "vmlinuz")); err != nil {
		return info, fmt.Errorf("taking the kernel: %w", err)
	}
	dep, err := os.ReadFile(found[0])
	if err != nil {
		return info, err
	}
	builtin, err := os.ReadFile(filepath.Join(mods, "modules.builtin"))
	if err != nil {
		return info, err
	}
	order, err := moduleOrder(string(dep), string(builtin), r.Modules)
	if err != nil {
		return info, err
	}
	if err := os.Mkdir(filepath.Join(out, "modules"), 0o755); err != nil {
		return info, err
	}
	for _, p := range order {
		name := filepath.Base(p)
		b, err := os.ReadFile(filepath.Join(mods, p))
		if err != nil {
			return info, err
		}
		dst := filepath.Join(out, "modules", name)
		if err := os.WriteFile(dst, b, 0o644); err != nil {
			return info, err
		}
		if _, err := exec.LookPath("strip"); err == nil { // smaller; works unstripped as well
			if msg, err := exec.CommandContext(ctx, "strip", "-g", dst).CombinedOutput(); err != nil {
				return info, fmt.Errorf("stripping %s: %w: %s", name, err, msg)
			}
		}
		info.Modules = append(info.Modules, name)
	}
	pkgs, err := exec.CommandContext(ctx, "dpkg-query", "--admindir="+filepath.Join(tree, "var/lib/dpkg"), "-W", "-f", "${Package} ${Version}\n").Output()
	if err != nil {
		return info, fmt.Errorf("listing the packages: %w", err)
	}
	info.Packages = lines(string(pkgs))
	return info, nil
}

// makeRoot builds root.img from the tree and lists its paths in the file paths.
func makeRoot(ctx context.Context, tree, out string) error {
	var paths strings.Builder
	err := filepath.WalkDir(tree, func(p string, _ fs.DirEntry, err error) error {
		if err == nil {
			paths.WriteString("/" + strings.TrimPrefix(strings.TrimPrefix(p, tree), "/") + "\n")
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("reading the tree: %w", err)
	}
	if err := os.WriteFile(filepath.Join(out, "paths"), []byte(paths.String()), 0o644); err != nil {
		return err
	}
	img := filepath.Join(out, "root.img")
	// Initialised tables: the guest must not spend its first minutes writing zeros.
	cmd := exec.CommandContext(ctx, "mke2fs", "-q", "-t", "ext4", "-L", "root", "-m", "1",
		"-E", "lazy_itable_init=0,lazy_journal_init=0", "-d", tree, img, fmt.Sprintf("%dk", rootSize>>10))
	if msg, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("making the root file system: %w: %s", err, msg)
	}
	return nil
}

// publishDir makes the files of tmp durable and gives it the name dir.
func publishDir(tmp, dir string) error {
	err := filepath.WalkDir(tmp, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return sparse.Sync(p)
	})
	if err != nil {
		return err
	}
	if err := os.RemoveAll(dir); err != nil { // an older one, when refreshing
		return err
	}
	return sparse.Replace(tmp, dir)
}

func writeJSON(path string, v any) error {
	b, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(path, append(b, '\n'), 0o644)
}
