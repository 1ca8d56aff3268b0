package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"runtime/metrics"
	"sync/atomic"
	"syscall"
	"time"
)

// How a worker ends when it has taken more than is allowed.
const (
	memoryExit = 77
	timeExit   = 78
)

var refusedConnection = errors.New("no connection is opened while rendering")

type noConnection struct{}

func (noConnection) RoundTrip(*http.Request) (*http.Response, error) { return nil, refusedConnection }

// serve answers requests one after the other, in a process that may be ended at any time.
func serve(o options, input *bufio.Reader, output *bufio.Writer) error {
	git := os.Getenv("SLIPWAY_RENDER_GIT")
	// What kustomize might start or reach, were a check of ours to fail.
	os.Setenv("PATH", "")
	http.DefaultTransport = noConnection{}
	watch := &watchdog{}
	go watch.run(o.limit, o.memory)
	s, err := openSchemas(o.schemas)
	if err != nil {
		return err
	}
	trees := &treeSource{root: o.root, git: git, commits: map[string]tree{}}
	encoder := json.NewEncoder(output)
	encoder.SetEscapeHTML(false)
	decoder := json.NewDecoder(input)
	for {
		var r request
		if err := decoder.Decode(&r); err == io.EOF {
			return nil
		} else if err != nil {
			return fmt.Errorf("not a request: %w", err)
		}
		t, err := trees.open(r.Commit)
		if err != nil {
			return err
		}
		watch.begin()
		a, broken := answerTo(r, newConfined(t), s)
		watch.end()
		if err := encoder.Encode(a); err != nil {
			return err
		}
		if err := output.Flush(); err != nil {
			return err
		}
		if broken {
			return nil
		}
	}
}

type treeSource struct {
	root, git string
	store     *objectStore
	commits   map[string]tree
}

func (t *treeSource) open(commit string) (tree, error) {
	if commit == "" {
		return diskTree(t.root), nil
	}
	if known, ok := t.commits[commit]; ok {
		return known, nil
	}
	if t.store == nil {
		store, err := openObjectStore(t.git, t.root)
		if err != nil {
			return nil, err
		}
		t.store = store
	}
	opened, err := openCommit(t.store, commit)
	if err != nil {
		return nil, err
	}
	t.commits[commit] = opened
	return opened, nil
}

// watchdog ends the process when one overlay takes more than is allowed. It counts processor time: on a busy
// machine an honest overlay may take long, and a hostile one is busy.
type watchdog struct{ since atomic.Int64 }

func (w *watchdog) begin() { w.since.Store(int64(processorTime())) }
func (w *watchdog) end()   { w.since.Store(0) }

func (w *watchdog) run(limit time.Duration, memory uint64) {
	sample := []metrics.Sample{{Name: "/memory/classes/total:bytes"}, {Name: "/memory/classes/heap/released:bytes"}}
	for {
		time.Sleep(50 * time.Millisecond)
		metrics.Read(sample)
		if sample[0].Value.Uint64()-sample[1].Value.Uint64() > memory {
			os.Exit(memoryExit)
		}
		if since := w.since.Load(); since > 0 && processorTime()-time.Duration(since) > limit {
			os.Exit(timeExit)
		}
	}
}

func processorTime() time.Duration {
	var used syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &used)
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}
