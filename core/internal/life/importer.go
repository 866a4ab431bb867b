package life

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync"

	"qubist/core/adminapi"
	"qubist/core/internal/domain"
	"qubist/core/qube"
	"qubist/storage/volume"
)

// imports are volumes whose new content is being delivered, with the file it goes to.
type imports struct {
	sync.Mutex
	open map[importKey]string
}

type importKey struct {
	vm     qube.Name
	volume string
}

// ImportBegin prepares to replace a volume's content: the caller writes size raw bytes to
// the file it returns and then calls ImportEnd. Size -1 means the volume's present size.
func (s *System) ImportBegin(n qube.Name, name string, size int64) (string, int64, error) {
	var c volume.Config
	if err := s.Read(func(m *domain.Model) error {
		vm := m.VM(n)
		if vm == nil || vm.Volume(name) == nil {
			return domain.NotFound(string(n))
		}
		if !vm.Halted() {
			return domain.NotHalted(vm)
		}
		c = vm.Volume(name).Config
		return nil
	}); err != nil {
		return "", 0, err
	}
	if !c.SaveOnStop {
		return "", 0, adminapi.Errorf(adminapi.StoragePool, "Cannot import data: %s is not save_on_stop", c.ID)
	}
	if size < 0 {
		size = c.Size
	}
	dir := filepath.Join(s.Paths.Lib, "import")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", 0, fmt.Errorf("preparing the import: %w", err)
	}
	f, err := os.CreateTemp(dir, string(n)+"-"+name+"-*.img")
	if err != nil {
		return "", 0, fmt.Errorf("preparing the import: %w", err)
	}
	err = f.Truncate(size)
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		os.Remove(f.Name())
		return "", 0, fmt.Errorf("preparing the import: %w", err)
	}
	s.imports.Lock()
	key := importKey{n, name}
	if old := s.imports.open[key]; old != "" {
		os.Remove(old)
	}
	s.imports.open[key] = f.Name()
	s.imports.Unlock()
	s.fire(n, "domain-volume-import-begin", "volume", name, "size", fmt.Sprint(size))
	return f.Name(), size, nil
}

// ImportEnd takes the delivered content over, or drops it when failed is not "".
func (s *System) ImportEnd(ctx context.Context, n qube.Name, name, failed string) error {
	key := importKey{n, name}
	s.imports.Lock()
	path := s.imports.open[key]
	delete(s.imports.open, key)
	s.imports.Unlock()
	if path == "" {
		return adminapi.Errorf(adminapi.StoragePool, "No import of volume %s is under way", name)
	}
	defer os.Remove(path)
	err := error(nil)
	if failed != "" {
		err = adminapi.Errorf(adminapi.Exception, "Data import failed: %s", failed)
	} else {
		err = s.takeImport(ctx, n, name, path)
	}
	s.fire(n, "domain-volume-import-end", "volume", name, "success", adminapi.PyBool(err == nil))
	return err
}

func (s *System) takeImport(ctx context.Context, n qube.Name, name, path string) error {
	unlock, err := s.lock(ctx, n)
	if err != nil {
		return err
	}
	defer unlock()
	var c volume.Config
	if err := s.Read(func(m *domain.Model) error {
		vm := m.VM(n)
		if vm == nil || vm.Volume(name) == nil {
			return domain.NotFound(string(n))
		}
		if !vm.Halted() {
			return domain.NotHalted(vm)
		}
		c = vm.Volume(name).Config
		return nil
	}); err != nil {
		return err
	}
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return err
	}
	pool, err := s.pool(c.Pool)
	if err != nil {
		return err
	}
	if err := pool.Import(ctx, c, f, st.Size()); err != nil {
		return adminapi.Errorf(adminapi.StoragePool, "Importing into volume %s: %v", c.ID, err)
	}
	return s.Write(func(m *domain.Model) error {
		if vm := m.VM(n); vm != nil && vm.Volume(name) != nil && vm.Volume(name).Size != st.Size() {
			vm.Volume(name).Size = st.Size()
			m.Touch()
		}
		return nil
	})
}

// Usage is how many bytes a volume occupies; 0 when that cannot be found out.
func (s *System) Usage(ctx context.Context, c volume.Config) int64 {
	pool, err := s.pool(c.Pool)
	if err != nil {
		return 0
	}
	n, err := pool.Usage(ctx, c)
	if err != nil {
		return 0
	}
	return n
}

// Resize changes the size of a volume, in bytes.
func (s *System) Resize(ctx context.Context, n qube.Name, name string, size int64) error {
	var c volume.Config
	if err := s.Read(func(m *domain.Model) error {
		vm := m.VM(n)
		if vm == nil || vm.Volume(name) == nil {
			return domain.NotFound(string(n))
		}
		c = vm.Volume(name).Config
		return nil
	}); err != nil {
		return err
	}
	if !c.RW || name == "kernel" {
		return adminapi.Errorf(adminapi.StoragePool, "Cannot resize read-only volume %s", c.ID)
	}
	pool, err := s.pool(c.Pool)
	if err == nil {
		err = pool.Resize(ctx, c, size)
	}
	if err != nil {
		return adminapi.Errorf(adminapi.StoragePool, "Resizing volume %s: %v", c.ID, err)
	}
	return s.Write(func(m *domain.Model) error {
		if vm := m.VM(n); vm != nil && vm.Volume(name) != nil {
			vm.Volume(name).Size = size
			m.Touch()
		}
		return nil
	})
}

// ForgetPool lets go of a pool that is being removed. It may be called with the model locked.
func (s *System) ForgetPool(name string) {
	s.pools.Lock()
	defer s.pools.Unlock()
	delete(s.pools.open, name)
}
