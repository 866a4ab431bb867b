package up

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"qubist/core/adminapi"
	"qubist/core/adminclient"
	"qubist/core/qube"
)

// templateName is the template of the starter set; builtFeature records on it which build
// its root volume came from, and is set only after the whole import.
const (
	templateName = "debian-12"
	builtFeature = "qubist.template-build"
	doneFeature  = "qubist.starter-set" // on dom0: the set was made once and is the user's now
	kernelPrefix = "qubist-"
)

// templateFeatures say what the image brings, as an installed template announces it by
// qubes.FeaturesRequest (spec core.md §6).
var templateFeatures = [][2]string{
	{"os", "Linux"}, {"os-distribution", "debian"}, {"os-version", "12"}, {"qrexec", "1"}, {"gui", "1"},
}

// starter is one qube of the first start, in the order of creation.
type starter struct {
	name, label, netvm string
	memory             string // MiB, "" for the default
	service            bool   // small init instead of systemd, provides network
	disposable         bool   // template for disposables
}

var starters = []starter{
	{name: "sys-net", label: "red", netvm: "none", memory: "200", service: true},
	{name: "sys-firewall", label: "green", netvm: "sys-net", memory: "200", service: true},
	{name: "default-dvm", label: "red", disposable: true},
	{name: "personal", label: "yellow"},
	{name: "work", label: "blue"},
	{name: "untrusted", label: "red"},
	{name: "vault", label: "black", netvm: "none"},
}

// StarterSet installs the built kernel, makes the template and, once in the life of an
// instance, the first qubes. Every step looks before it acts, so that an interrupted start
// is continued.
func (e *Env) StarterSet(ctx context.Context, refresh bool) error {
	c := adminclient.New(e.Paths.QubesdSocket())
	build, err := e.templateBuild()
	if err != nil {
		return &Hint{err, "run the Taskfile's `template` task"}
	}
	have, err := existing(ctx, c)
	if err != nil {
		return err
	}
	if err := e.template(ctx, c, have, build, refresh); err != nil {
		return fmt.Errorf("template %s: %w", templateName, err)
	}
	if done, err := c.Feature(ctx, string(qube.Dom0), doneFeature); err == nil && done != "" {
		return nil
	} else if err != nil && !isKind(err, adminapi.FeatureNotFound) {
		return err
	}
	for _, s := range starters {
		if err := e.starter(ctx, c, s, have[s.name]); err != nil {
			return fmt.Errorf("creating %s: %w", s.name, err)
		}
	}
	return c.SetFeature(ctx, string(qube.Dom0), doneFeature, "1")
}

func isKind(err error, kind string) bool {
	var e *adminapi.Error
	return errors.As(err, &e) && e.Kind == kind
}

func existing(ctx context.Context, c *adminclient.Client) (map[string]bool, error) {
	vms, err := c.List(ctx, string(qube.Dom0))
	if err != nil {
		return nil, fmt.Errorf("listing qubes: %w", err)
	}
	have := map[string]bool{}
	for _, vm := range vms {
		have[string(vm.Name)] = true
	}
	return have, nil
}

// templateBuild identifies the built template by its manifest.
func (e *Env) templateBuild() (string, error) {
	manifest, err := os.ReadFile(filepath.Join(e.Cache, "manifest.json"))
	if err != nil {
		return "", fmt.Errorf("no built template in %s: %w", e.Cache, err)
	}
	sum := sha256.Sum256(manifest)
	return hex.EncodeToString(sum[:6]), nil
}

// installKernel copies the kernel of this build, which belongs to its root volume, and makes
// it the default unless the user chose one of another origin. Kernels of earlier builds go
// unless a qube names them.
func (e *Env) installKernel(ctx context.Context, c *adminclient.Client, build string) error {
	name := kernelPrefix + build
	dir := e.Paths.KernelDir(name)
	if !exists(dir) {
		e.Say("installing kernel %s", name)
		tmp := dir + ".new"
		if err := os.RemoveAll(tmp); err != nil {
			return err
		}
		if err := os.MkdirAll(tmp, 0o755); err != nil {
			return err
		}
		for _, f := range []string{"vmlinuz", "initramfs"} {
			if err := copyFile(filepath.Join(e.Cache, f), filepath.Join(tmp, f)); err != nil {
				return err
			}
		}
		if err := os.Rename(tmp, dir); err != nil {
			return err
		}
	}
	p, err := c.Property(ctx, "", "default_kernel")
	if err == nil && (p.Value == name || p.Value != "" && !p.Default && !strings.HasPrefix(p.Value, kernelPrefix)) {
		return nil
	}
	if err := c.SetProperty(ctx, "", "default_kernel", name); err != nil {
		return err
	}
	return e.pruneKernels(ctx, c, name)
}

func (e *Env) pruneKernels(ctx context.Context, c *adminclient.Client, keep string) error {
	vms, err := c.List(ctx, string(qube.Dom0))
	if err != nil {
		return err
	}
	used := map[string]bool{keep: true}
	for _, vm := range vms {
		if p, err := c.Property(ctx, string(vm.Name), "kernel"); err == nil {
			used[p.Value] = true
		}
	}
	dirs, err := filepath.Glob(e.Paths.KernelDir(kernelPrefix + "*"))
	if err != nil {
		return err
	}
	for _, d := range dirs {
		if !used[filepath.Base(d)] {
			if err := os.RemoveAll(d); err != nil {
				return err
			}
		}
	}
	return nil
}

func copyFile(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o644)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Sync(), out.Close())
}

// template makes the template and fills its root volume when it has none of ours, or when
// asked to. A template that the user changed is never replaced unasked.
func (e *Env) template(ctx context.Context, c *adminclient.Client, have map[string]bool, build string, refresh bool) error {
	if !have[templateName] {
		e.Say("creating template %s", templateName)
		if err := c.Create(ctx, qube.TemplateVM, templateName, "black", ""); err != nil {
			return err
		}
	}
	imported, err := c.Feature(ctx, templateName, builtFeature)
	if err != nil && !isKind(err, adminapi.FeatureNotFound) {
		return err
	}
	switch {
	case imported == build:
		err = e.installKernel(ctx, c, build)
	case imported == "" || refresh:
		if err := e.installKernel(ctx, c, build); err != nil { // before the root volume that needs it
			return err
		}
		e.Say("copying the template image into %s", templateName)
		if err := e.importRoot(ctx); err != nil {
			return err
		}
		for _, f := range templateFeatures {
			if err := c.SetFeature(ctx, templateName, f[0], f[1]); err != nil {
				return err
			}
		}
		err = c.SetFeature(ctx, templateName, builtFeature, build)
	default:
		e.Say("a newer template image was built; %s keeps its own (run with --refresh-template to replace it)", templateName)
		err = nil
	}
	if err != nil {
		return err
	}
	return setUnlessSet(ctx, c, "", "default_template", templateName)
}

// setUnlessSet gives a property a first value and respects a later choice of the user.
func setUnlessSet(ctx context.Context, c *adminclient.Client, vm, property, value string) error {
	p, err := c.Property(ctx, vm, property)
	if err != nil {
		return err
	}
	if p.Value != "" && !p.Default {
		return nil
	}
	return c.SetProperty(ctx, vm, property, value)
}

// importRoot replaces the root volume of the template as upstream's volume import does:
// qubesd names a file, we fill it, qubesd puts it in place.
func (e *Env) importRoot(ctx context.Context) error {
	image := filepath.Join(e.Cache, "root.img")
	info, err := os.Stat(image)
	if err != nil {
		return err
	}
	internal := adminclient.New(e.Paths.QubesdInternalSocket())
	answer, err := internal.Call(ctx, "internal.vm.volume.ImportBegin", templateName, "root", fmt.Append(nil, info.Size()))
	if err != nil {
		return err
	}
	_, path, ok := strings.Cut(string(answer), " ")
	if !ok || !filepath.IsAbs(path) {
		return fmt.Errorf("qubesd answered %q to the import, want a size and a path", answer)
	}
	result := "ok"
	_, copyErr := e.Run(ctx, "cp", "--sparse=always", "--reflink=auto", "--no-preserve=all", image, path)
	if copyErr != nil {
		result = "fail\ncopying the image failed"
	}
	_, err = internal.Call(context.WithoutCancel(ctx), "internal.vm.volume.ImportEnd", templateName, "root", []byte(result))
	return errors.Join(copyErr, err)
}

func (e *Env) starter(ctx context.Context, c *adminclient.Client, s starter, have bool) error {
	if !have {
		e.Say("creating %s (%s)", s.name, s.label)
		if err := c.Create(ctx, qube.AppVM, qube.Name(s.name), s.label, templateName); err != nil {
			return err
		}
	}
	type setting struct{ vm, name, value string }
	var settings []setting
	if s.netvm != "" {
		settings = append(settings, setting{s.name, "netvm", strings.TrimPrefix(s.netvm, "none")})
	}
	if s.memory != "" {
		settings = append(settings, setting{s.name, "memory", s.memory})
	}
	if s.service {
		settings = append(settings, setting{s.name, "provides_network", "True"})
	}
	if s.disposable {
		settings = append(settings, setting{s.name, "template_for_dispvms", "True"}, setting{"", "default_dispvm", s.name})
	}
	if s.name == "sys-firewall" {
		settings = append(settings, setting{"", "default_netvm", s.name})
	}
	for _, v := range settings {
		if err := c.SetProperty(ctx, v.vm, v.name, v.value); err != nil {
			return fmt.Errorf("setting %s of %s: %w", v.name, v.vm, err)
		}
	}
	if s.service {
		return c.SetFeature(ctx, s.name, "servicevm", "1")
	}
	return nil
}

// StarterNames are the qubes of the first start, for messages and tests.
func StarterNames() []string {
	names := []string{templateName}
	for _, s := range starters {
		names = append(names, s.name)
	}
	slices.Sort(names)
	return names
}
