package main

// What happens between being started and becoming a container: its own view of the file system, the
// pod's network, then the program takes this process over.
//
// The root is that of the machine, with the pod's volumes in their places and a `/tmp` of the pod's
// own. Nothing is written into the machine's folders: where a mount point is missing, its folder is
// first covered by a temporary one that holds the same things.

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sort"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

const containArgument = "contain"

// containment is what a container is to see; it comes in on standard input.
type containment struct {
	Folder      string
	Network     bool
	Mounts      []bindMount
	Arguments   []string
	Environment []string
	Directory   string
}

// bindMount puts a file or folder in its place.
type bindMount struct {
	Source, Target string
	ReadOnly       bool
}

// contain does not return when all goes well.
func contain() error {
	runtime.LockOSThread()
	var asked containment
	if err := json.NewDecoder(os.Stdin).Decode(&asked); err != nil {
		return fmt.Errorf("reading what to contain: %w", err)
	}
	if asked.Network {
		if err := unix.Setns(3, unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("entering the pod's network: %w", err)
		}
		_ = unix.Close(3)
	}
	// The program may lie where the container sees something else.
	program, err := os.Open(asked.Arguments[0])
	if err == nil {
		defer program.Close()
	}
	if err := newRoot(asked); err != nil {
		return err
	}
	if asked.Directory == "" || os.Chdir(asked.Directory) != nil {
		if err := os.Chdir("/"); err != nil {
			return err
		}
	}
	path := asked.Arguments[0]
	if !strings.Contains(path, "/") {
		if path, err = exec.LookPath(path); err != nil {
			return err
		}
	} else if _, err := os.Stat(path); err != nil && program != nil {
		path = fmt.Sprintf("/proc/self/fd/%d", program.Fd())
	}
	return fmt.Errorf("starting %s: %w", path, syscall.Exec(path, asked.Arguments, asked.Environment))
}

// root is the new view while it is put together.
type root struct {
	at string
	// Folders of the new root by path: whether things can be made in them.
	ours map[string]bool
}

// namedBelowTmp keeps what a command line names below /tmp in view, such as a checkout of these sources.
func namedBelowTmp(arguments []string) []bindMount {
	var mounts []bindMount
	for _, argument := range arguments {
		_, value, _ := strings.Cut(argument, "=")
		for _, path := range append(strings.Split(value, ":"), argument) {
			if details, err := os.Stat(path); err == nil && details.IsDir() && strings.HasPrefix(path, "/tmp/") {
				mounts = append(mounts, bindMount{Source: path, Target: path})
			}
		}
	}
	return mounts
}

func newRoot(asked containment) error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("making mounts private: %w", err)
	}
	new := &root{at: filepath.Join(asked.Folder, "root"), ours: map[string]bool{}}
	if err := new.expose("/"); err != nil {
		return err
	}
	private := filepath.Join(asked.Folder, "tmp")
	if err := os.MkdirAll(private, 0o1777); err != nil {
		return err
	}
	mounts := append([]bindMount{{Source: private, Target: "/tmp"}}, namedBelowTmp(asked.Arguments)...)
	mounts = append(mounts, asked.Mounts...)
	sort.SliceStable(mounts, func(i, j int) bool { return len(mounts[i].Target) < len(mounts[j].Target) })
	for _, mount := range mounts {
		if err := new.place(mount); err != nil {
			return fmt.Errorf("mounting %s: %w", mount.Target, err)
		}
	}
	if err := unix.Chroot(new.at); err != nil {
		return fmt.Errorf("changing the root: %w", err)
	}
	return nil
}

// expose covers a folder of the new root by a temporary one with the same things in it.
func (r *root) expose(folder string) error {
	target := r.at + folder
	if err := unix.Mount("tmpfs", target, "tmpfs", 0, "mode=0755"); err != nil {
		return fmt.Errorf("covering %s: %w", folder, err)
	}
	r.ours[folder] = true
	entries, err := os.ReadDir(folder)
	if err != nil {
		return err
	}
	// What holds the new root itself comes first, so that it is not carried along with its mounts.
	sort.SliceStable(entries, func(i, j int) bool { return r.holds(folder, entries[i]) && !r.holds(folder, entries[j]) })
	for _, entry := range entries {
		if err := r.carry(filepath.Join(folder, entry.Name()), entry); err != nil {
			return err
		}
	}
	return nil
}

func (r *root) holds(folder string, entry fs.DirEntry) bool {
	return strings.HasPrefix(r.at+"/", filepath.Join(folder, entry.Name())+"/")
}

// carry makes a thing of the machine visible in the new root under the same path.
func (r *root) carry(path string, entry fs.DirEntry) error {
	target := r.at + path
	switch {
	case entry.Type()&fs.ModeSymlink != 0:
		link, err := os.Readlink(path)
		if err != nil {
			return err
		}
		return os.Symlink(link, target)
	case entry.IsDir():
		if err := os.Mkdir(target, 0o755); err != nil {
			return err
		}
		r.ours[path] = false
	default:
		if err := os.WriteFile(target, nil, 0o644); err != nil {
			return err
		}
	}
	if err := unix.Mount(path, target, "", unix.MS_BIND|unix.MS_REC, ""); err != nil && !errors.Is(err, unix.ENOENT) && !errors.Is(err, unix.EACCES) {
		return fmt.Errorf("binding %s: %w", path, err)
	}
	return nil
}

// place mounts one thing of the pod.
func (r *root) place(mount bindMount) error {
	info, err := os.Stat(mount.Source)
	if err != nil {
		return err
	}
	target, err := r.resolve(filepath.Clean("/"+mount.Target), 0)
	if err != nil {
		return err
	}
	if _, err := os.Lstat(r.at + target); err != nil {
		if err := r.make(target, info.IsDir()); err != nil {
			return err
		}
	}
	if err := unix.Mount(mount.Source, r.at+target, "", unix.MS_BIND|unix.MS_REC, ""); err != nil {
		return err
	}
	if info.IsDir() {
		r.ours[target] = true
	}
	if mount.ReadOnly {
		// Not every file system lets itself be made read-only from here: then it is not.
		_ = unix.Mount("", r.at+target, "", unix.MS_BIND|unix.MS_REMOUNT|unix.MS_RDONLY, "")
	}
	return nil
}

// resolve follows symbolic links inside the new root.
func (r *root) resolve(path string, depth int) (string, error) {
	if depth > 20 {
		return "", fmt.Errorf("%s: too many symbolic links", path)
	}
	walked := ""
	parts := strings.Split(strings.Trim(path, "/"), "/")
	for index, part := range parts {
		next := walked + "/" + part
		if link, err := os.Readlink(r.at + next); err == nil {
			if !filepath.IsAbs(link) {
				link = filepath.Join(walked+"/", link)
			}
			return r.resolve(filepath.Join(append([]string{link}, parts[index+1:]...)...), depth+1)
		}
		walked = next
	}
	return walked, nil
}

// make makes a mount point, covering the folder it is in where that is the machine's.
func (r *root) make(target string, folder bool) error {
	present := filepath.Dir(target)
	for present != "/" {
		if _, err := os.Lstat(r.at + present); err == nil {
			break
		}
		present = filepath.Dir(present)
	}
	if !r.isOurs(present) {
		if err := r.expose(present); err != nil {
			return err
		}
	}
	if folder {
		return os.MkdirAll(r.at+target, 0o755)
	}
	if err := os.MkdirAll(r.at+filepath.Dir(target), 0o755); err != nil {
		return err
	}
	return os.WriteFile(r.at+target, nil, 0o644)
}

// isOurs says whether things can be made in a folder: the nearest mount above it decides.
func (r *root) isOurs(path string) bool {
	for {
		if ours, known := r.ours[path]; known {
			return ours
		}
		path = filepath.Dir(path)
	}
}
