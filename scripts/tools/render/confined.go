package main

import (
	"fmt"
	"os"
	"path"
	"path/filepath"
	"sort"
	"strings"

	"sigs.k8s.io/kustomize/kyaml/filesys"
)

const (
	mount       = "/repository" // where kustomize sees the tree, the same for every checkout
	fileLimit   = 10 << 20
	filesLimit  = 5000
	bytesLimit  = 64 << 20
	linksLimit  = 40
	linkNotOpen = "a link that leaves the repository"
)

// confined is the file system that one build sees: a tree, read-only, with everything it reaches written down.
type confined struct {
	tree      tree
	known     map[string]entry
	files     map[string]string
	absent    map[string]bool
	bytes     int64
	inspected map[string]*inspection
	refusals  []*refusal
}

var _ filesys.FileSystem = (*confined)(nil)

func newConfined(t tree) *confined {
	return &confined{
		tree: t, known: map[string]entry{}, files: map[string]string{}, absent: map[string]bool{},
		inspected: map[string]*inspection{},
	}
}

// refuse writes a refusal down, since kustomize may try something else after the error.
func (c *confined) refuse(rule, name string, line int, format string, values ...any) error {
	refused := &refusal{rule, fmt.Sprintf(format, values...), name, line}
	c.refusals = append(c.refusals, refused)
	return refused
}

// inside turns an absolute path as kustomize has it into one of the tree.
func (c *confined) inside(name string) (string, error) {
	cleaned := path.Clean(name)
	if cleaned == mount {
		return "", nil
	}
	below, ok := strings.CutPrefix(cleaned, mount+"/")
	if !ok {
		return "", c.refuse("outside-repository", "", 0, "%s is outside the repository", name)
	}
	return below, nil
}

func (c *confined) entry(name string) (entry, error) {
	if known, ok := c.known[name]; ok {
		return known, nil
	}
	found, err := c.tree.entry(name)
	if err == nil {
		c.known[name] = found
	}
	return found, err
}

// resolve follows every link and returns the real path; of what is missing, the shortest path that is.
func (c *confined) resolve(name string) (string, entry, error) {
	below, err := c.inside(name)
	if err != nil {
		return "", entry{}, err
	}
	rest := strings.Split(below, "/")
	if below == "" {
		rest = nil
	}
	at, here := "", entry{kind: folder}
	for links := 0; len(rest) > 0; {
		next := path.Join(at, rest[0])
		found, err := c.entry(next)
		if err != nil {
			return "", entry{}, err
		}
		switch {
		case found.kind == missing || (found.kind == file && len(rest) > 1):
			c.absent[path.Join(next, strings.Join(rest[1:], "/"))] = true
			return next, entry{}, &os.PathError{Op: "lstat", Path: next, Err: os.ErrNotExist}
		case found.kind == other:
			return "", entry{}, c.refuse("not-a-file", next, 1, "%s is neither a file nor a folder", next)
		case found.kind == link:
			target, err := c.tree.readlink(next, found)
			if err != nil {
				return "", entry{}, err
			}
			c.files[next] = blobID([]byte(target))
			joined, ok := joinBelow(next, target)
			if !ok {
				return "", entry{}, c.refuse("outside-repository", next, 1, "%s is %s, to %s", next, linkNotOpen, target)
			}
			if links++; links > linksLimit {
				return "", entry{}, c.refuse("cycle", next, 1, "%s is a link that leads back to itself", next)
			}
			rest = append(strings.Split(joined, "/"), rest[1:]...)
			if joined == "." {
				rest = rest[1:]
			}
			at, here = "", entry{kind: folder}
		default:
			at, here, rest = next, found, rest[1:]
		}
	}
	return at, here, nil
}

func (c *confined) CleanedAbs(name string) (filesys.ConfirmedDir, string, error) {
	at, found, err := c.resolve(name)
	if err != nil {
		return "", "", err
	}
	if found.kind == folder {
		return filesys.ConfirmedDir(path.Join(mount, at)), "", nil
	}
	return filesys.ConfirmedDir(path.Join(mount, path.Dir(at))), path.Base(at), nil
}

func (c *confined) ReadFile(name string) ([]byte, error) {
	at, found, err := c.resolve(name)
	if err != nil {
		return nil, err
	}
	if found.kind != file {
		return nil, &os.PathError{Op: "read", Path: at, Err: fmt.Errorf("is a directory")}
	}
	if found.size > fileLimit {
		return nil, c.tooLarge(at, found.size)
	}
	content, err := c.tree.read(at, found, fileLimit)
	if err != nil {
		return nil, err
	}
	if len(content) > fileLimit {
		return nil, c.tooLarge(at, int64(len(content)))
	}
	if _, again := c.files[at]; !again {
		c.bytes += int64(len(content))
	}
	c.files[at] = blobID(content)
	if len(c.files) > filesLimit || c.bytes > bytesLimit {
		return nil, c.refuse("file-too-large", at, 1, "the overlay reads more than %d files or %d MiB",
			filesLimit, bytesLimit>>20)
	}
	seen := inspect(at, c.files[at], content)
	c.inspected[at] = seen
	if seen.refusal != nil {
		return nil, c.refuse(seen.refusal.Rule, at, seen.refusal.Line, "%s", seen.refusal.Message)
	}
	return content, nil
}

func (c *confined) tooLarge(name string, size int64) error {
	return c.refuse("file-too-large", name, 1, "%s has %d MiB, and %d are allowed", name, size>>20, fileLimit>>20)
}

func (c *confined) IsDir(name string) bool {
	_, found, err := c.resolve(name)
	return err == nil && found.kind == folder
}

func (c *confined) Exists(name string) bool {
	_, _, err := c.resolve(name)
	return err == nil
}

// missing lists what was looked for in vain.
func (c *confined) missing() []string {
	names := make([]string, 0, len(c.absent))
	for name := range c.absent {
		names = append(names, name)
	}
	sort.Strings(names)
	return names
}

// A build writes nothing and lists no folders; kustomize's other commands would.

func (c *confined) readOnly(name string) error {
	return c.refuse("read-only", "", 0, "the build tries to change or list %s", name)
}

func (c *confined) Create(name string) (filesys.File, error)       { return nil, c.readOnly(name) }
func (c *confined) Mkdir(name string) error                        { return c.readOnly(name) }
func (c *confined) MkdirAll(name string) error                     { return c.readOnly(name) }
func (c *confined) RemoveAll(string) error                         { return nil } // after a clone that never was
func (c *confined) Open(name string) (filesys.File, error)         { return nil, c.readOnly(name) }
func (c *confined) ReadDir(name string) ([]string, error)          { return nil, c.readOnly(name) }
func (c *confined) Glob(pattern string) ([]string, error)          { return nil, c.readOnly(pattern) }
func (c *confined) WriteFile(name string, data []byte) error       { return c.readOnly(name) }
func (c *confined) Walk(name string, walk filepath.WalkFunc) error { return c.readOnly(name) }

// place finds the line of a problem in the document that brought the object in; the object's own where it cannot.
func (c *confined) place(p *problem, one object) {
	p.File, p.Line = one.File, one.Line
	found, err := c.entry(one.File)
	if err != nil || p.Path == "" || isKustomization(one.File) {
		return
	}
	content, err := c.tree.read(one.File, found, fileLimit)
	if err == nil {
		p.Line = lineOf(content, one.Line, strings.Split(p.Path, "/"))
	}
}
