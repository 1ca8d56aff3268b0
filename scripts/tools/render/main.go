// Command render renders and validates kustomize overlays, many in one process tree.
//
// It reads one request a line from standard input and writes one answer a line to standard output, in the order in
// which the work ends. Overlays are rendered with the kustomize library and with the options that Argo CD builds
// with by default. Nothing outside the repository is read, no connection is opened and no program is started,
// apart from workers of its own and, for commits, git.
package main

import (
	"bufio"
	"flag"
	"fmt"
	"os"
	"runtime"
	"time"
)

// request asks for one overlay; the fields that are not set ask for nothing.
type request struct {
	ID      int    `json:"id"`
	Path    string `json:"path"`
	Commit  string `json:"commit,omitempty"` // empty for the work tree
	Objects bool   `json:"objects,omitempty"`
	Check   bool   `json:"check,omitempty"`
	Digest  bool   `json:"digest,omitempty"`
	YAML    bool   `json:"yaml,omitempty"`
}

type options struct {
	root    string
	schemas string
	limit   time.Duration
	workers int
	memory  uint64
}

func main() {
	o := options{}
	worker := flag.Bool("worker", false, "answer requests in this process (render starts such processes itself)")
	flag.StringVar(&o.root, "root", ".", "the repository")
	flag.StringVar(&o.schemas, "schemas", "", "folder of JSON schemas, <group>/<kind>_<version>.json")
	flag.IntVar(&o.workers, "workers", runtime.NumCPU(), "overlays rendered at a time")
	flag.DurationVar(&o.limit, "limit", 8*time.Second, "processor time allowed for one overlay")
	flag.Uint64Var(&o.memory, "memory", 1<<30, "bytes of memory allowed for one overlay")
	flag.Parse()
	input := bufio.NewReaderSize(os.Stdin, 1<<16)
	output := bufio.NewWriterSize(os.Stdout, 1<<16)
	var err error
	if *worker {
		err = serve(o, input, output)
	} else {
		err = dispatch(o, input, output)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "render:", err)
		os.Exit(2)
	}
}
