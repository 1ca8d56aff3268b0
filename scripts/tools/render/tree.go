package main

import (
	"bufio"
	"bytes"
	"crypto/sha1"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

type entryKind int

const (
	missing entryKind = iota
	file
	folder
	link
	other // a device, a socket, a submodule
)

type entry struct {
	kind entryKind
	size int64
	id   string // of a git object; empty on disk until the file is read
}

// tree is a work tree or a commit. Paths are clean and relative to its root, "" for the root itself; of a path
// that is asked for, everything above is known to be a folder.
type tree interface {
	entry(name string) (entry, error)
	read(name string, e entry, limit int64) ([]byte, error)
	readlink(name string, e entry) (string, error)
}

// blobID is the name that git gives to a file of this content.
func blobID(content []byte) string {
	sum := sha1.New()
	fmt.Fprintf(sum, "blob %d\x00", len(content))
	sum.Write(content)
	return hex.EncodeToString(sum.Sum(nil))
}

// diskTree is a folder of this machine.
type diskTree string

func (d diskTree) entry(name string) (entry, error) {
	info, err := os.Lstat(filepath.Join(string(d), name))
	if err != nil {
		if os.IsNotExist(err) || isNotFolder(err) {
			return entry{}, nil
		}
		return entry{}, err
	}
	switch mode := info.Mode(); {
	case mode.IsRegular():
		return entry{kind: file, size: info.Size()}, nil
	case mode.IsDir():
		return entry{kind: folder}, nil
	case mode&os.ModeSymlink != 0:
		return entry{kind: link}, nil
	default:
		return entry{kind: other}, nil
	}
}

func isNotFolder(err error) bool {
	failed, ok := err.(*os.PathError)
	return ok && (failed.Err == syscall.ENOTDIR || failed.Err == syscall.ENAMETOOLONG)
}

func (d diskTree) read(name string, _ entry, limit int64) ([]byte, error) {
	// Links were resolved before; one that appears in between is not followed.
	opened, err := os.OpenFile(filepath.Join(string(d), name), os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer opened.Close()
	return io.ReadAll(io.LimitReader(opened, limit+1))
}

func (d diskTree) readlink(name string, _ entry) (string, error) {
	return os.Readlink(filepath.Join(string(d), name))
}

// objectStore answers for git objects through one `git cat-file` process.
type objectStore struct {
	process *exec.Cmd
	input   io.WriteCloser
	output  *bufio.Reader
	trees   map[string]map[string]entry
}

const keptTrees = 20000

func openObjectStore(git, root string) (*objectStore, error) {
	// A partial clone would fetch what it lacks; nothing is fetched here.
	process := exec.Command(git, "-C", root, "-c", "protocol.allow=never", "cat-file", "--batch-command")
	process.Env = append(os.Environ(), "GIT_NO_LAZY_FETCH=1", "GIT_TERMINAL_PROMPT=0", "GIT_OPTIONAL_LOCKS=0")
	input, err := process.StdinPipe()
	if err != nil {
		return nil, err
	}
	output, err := process.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := process.Start(); err != nil {
		return nil, err
	}
	return &objectStore{process, input, bufio.NewReaderSize(output, 1<<16), map[string]map[string]entry{}}, nil
}

// ask returns an object's id, kind and size; its content follows in the stream when command is "contents".
func (s *objectStore) ask(command, name string) (id, kind string, size int64, err error) {
	if strings.ContainsAny(name, "\n\x00") {
		return "", "", 0, fmt.Errorf("no object is named %q", name)
	}
	if _, err := fmt.Fprintf(s.input, "%s %s\n", command, name); err != nil {
		return "", "", 0, err
	}
	line, err := s.output.ReadString('\n')
	if err != nil {
		return "", "", 0, fmt.Errorf("git does not answer: %w", err)
	}
	fields := strings.Fields(line)
	if len(fields) != 3 {
		return "", "", 0, fmt.Errorf("git has no object %s", name)
	}
	size, err = strconv.ParseInt(fields[2], 10, 64)
	return fields[0], fields[1], size, err
}

func (s *objectStore) contents(name string) ([]byte, error) {
	_, _, size, err := s.ask("contents", name)
	if err != nil {
		return nil, err
	}
	content := make([]byte, size+1)
	if _, err := io.ReadFull(s.output, content); err != nil {
		return nil, err
	}
	return content[:size], nil
}

// list returns the entries of a tree object by name.
func (s *objectStore) list(id string) (map[string]entry, error) {
	if known, ok := s.trees[id]; ok {
		return known, nil
	}
	content, err := s.contents(id)
	if err != nil {
		return nil, err
	}
	width := len(id) / 2
	entries := map[string]entry{}
	for len(content) > 0 {
		head, rest, ok := bytes.Cut(content, []byte{0})
		mode, name, named := strings.Cut(string(head), " ")
		if !ok || !named || len(rest) < width {
			return nil, fmt.Errorf("git's tree %s cannot be read", id)
		}
		one := entry{kind: file, id: hex.EncodeToString(rest[:width])}
		switch mode {
		case "40000":
			one.kind = folder
		case "120000":
			one.kind = link
		case "160000":
			one.kind = other
		}
		entries[name] = one
		content = rest[width:]
	}
	if len(s.trees) >= keptTrees {
		s.trees = map[string]map[string]entry{}
	}
	s.trees[id] = entries
	return entries, nil
}

// commitTree is the tree of a commit.
type commitTree struct {
	store *objectStore
	root  string
}

func openCommit(store *objectStore, commit string) (*commitTree, error) {
	id, kind, _, err := store.ask("info", commit+"^{tree}")
	if err != nil || kind != "tree" {
		return nil, fmt.Errorf("git has no commit %s", commit)
	}
	return &commitTree{store, id}, nil
}

func (c *commitTree) entry(name string) (entry, error) {
	at := entry{kind: folder, id: c.root}
	if name == "" {
		return at, nil
	}
	for _, part := range strings.Split(name, "/") {
		if at.kind != folder {
			return entry{}, nil
		}
		entries, err := c.store.list(at.id)
		if err != nil {
			return entry{}, err
		}
		at = entries[part] // the zero entry is a missing one
	}
	if at.kind == file {
		_, _, size, err := c.store.ask("info", at.id)
		at.size = size
		return at, err
	}
	return at, nil
}

func (c *commitTree) read(_ string, e entry, limit int64) ([]byte, error) {
	if e.size > limit {
		return make([]byte, limit+1), nil
	}
	return c.store.contents(e.id)
}

func (c *commitTree) readlink(_ string, e entry) (string, error) {
	target, err := c.store.contents(e.id)
	return string(target), err
}

// joinBelow joins a link's folder and target; false when the target leaves the tree.
func joinBelow(name, target string) (string, bool) {
	if path.IsAbs(target) {
		return "", false
	}
	joined := path.Join(path.Dir(name), target)
	return joined, joined != ".." && !strings.HasPrefix(joined, "../")
}
