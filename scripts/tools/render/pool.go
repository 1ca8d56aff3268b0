package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path"
	"strings"
	"sync"
	"time"
)

// dispatch hands requests to worker processes and passes their answers on. A worker that takes too long, takes too
// much memory or dies is replaced; its request is answered with what happened.
func dispatch(o options, input *bufio.Reader, output *bufio.Writer) error {
	requests := make(chan request)
	answers := make(chan []byte, o.workers)
	var failed error
	var once sync.Once
	fail := func(err error) { once.Do(func() { failed = err }) }
	go func() {
		defer close(requests)
		for decoder := json.NewDecoder(input); ; {
			var r request
			if err := decoder.Decode(&r); err == io.EOF {
				return
			} else if err != nil {
				fail(fmt.Errorf("not a request: %w", err))
				return
			}
			requests <- r
		}
	}()
	var workers sync.WaitGroup
	for range o.workers {
		workers.Go(func() {
			w := &process{options: o}
			defer w.end()
			for r := range requests {
				said, err := w.ask(r)
				if err != nil {
					fail(err)
					continue
				}
				answers <- said
			}
		})
	}
	go func() {
		workers.Wait()
		close(answers)
	}()
	for said := range answers {
		output.Write(said)
		if len(answers) == 0 {
			if err := output.Flush(); err != nil {
				return err
			}
		}
	}
	if err := output.Flush(); err != nil {
		return err
	}
	return failed
}

// patience is how many times the processor time allowed a worker may take by the clock, should it hang.
const patience = 10

var errGone = errors.New("a worker ended without an answer")

// process is one worker, started when there is something to do.
type process struct {
	options options
	command *exec.Cmd
	input   io.WriteCloser
	output  *bufio.Reader
	errors  *tail
}

func (p *process) start() error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	git, _ := exec.LookPath("git")
	p.command = exec.Command(self, "-worker", "-root", p.options.root, "-schemas", p.options.schemas,
		"-limit", p.options.limit.String(), "-memory", fmt.Sprint(p.options.memory))
	p.command.Env = []string{"SLIPWAY_RENDER_GIT=" + git, "HOME=" + os.Getenv("HOME"), "GOGC=400", "GOTRACEBACK=single"}
	if p.options.workers > 1 { // the cores are busy with workers; none needs one for its garbage
		p.command.Env = append(p.command.Env, "GOMAXPROCS=1")
	}
	p.errors = &tail{}
	p.command.Stderr = p.errors
	if p.input, err = p.command.StdinPipe(); err != nil {
		return err
	}
	output, err := p.command.StdoutPipe()
	if err != nil {
		return err
	}
	p.output = bufio.NewReaderSize(output, 1<<16)
	return p.command.Start()
}

func (p *process) end() {
	if p.command == nil {
		return
	}
	p.input.Close()
	p.command.Process.Kill()
	p.command.Wait()
	p.command = nil
}

// ask returns the answer, a line. A worker that has given itself up after its last answer is replaced.
func (p *process) ask(r request) ([]byte, error) {
	said, err := p.try(r)
	if err == errGone {
		said, err = p.try(r)
	}
	return said, err
}

func (p *process) try(r request) ([]byte, error) {
	if p.command == nil {
		if err := p.start(); err != nil {
			return nil, err
		}
	}
	line, err := json.Marshal(r)
	if err != nil {
		return nil, err
	}
	late := false
	var lock sync.Mutex
	timer := time.AfterFunc(patience*p.options.limit, func() {
		lock.Lock()
		late = true
		lock.Unlock()
		p.command.Process.Kill()
	})
	_, err = p.input.Write(append(line, '\n'))
	var said []byte
	if err == nil {
		said, err = p.output.ReadBytes('\n')
	}
	timer.Stop()
	lock.Lock()
	defer lock.Unlock()
	if err == nil && !late {
		return said, nil
	}
	waited := p.command.Wait()
	code := p.command.ProcessState.ExitCode()
	p.command = nil
	a := answer{ID: r.ID, Path: r.Path, Files: map[string]string{}, Absent: []string{}}
	a.Error = &refusal{File: path.Join(r.Path, "kustomization.yaml"), Line: 1}
	var ended *exec.ExitError
	switch {
	case late:
		a.Error.Rule = "render-timeout"
		a.Error.Message = fmt.Sprintf("rendering took longer than %s", patience*p.options.limit)
	case code == timeExit:
		a.Error.Rule = "render-timeout"
		a.Error.Message = fmt.Sprintf("rendering took more than %s of processor time", p.options.limit)
	case code == memoryExit:
		a.Error.Rule = "render-memory"
		a.Error.Message = fmt.Sprintf("rendering took more than %d MiB of memory", p.options.memory>>20)
	case code == 2 && strings.HasPrefix(p.errors.String(), "render: "):
		return nil, errors.New(strings.TrimPrefix(p.errors.String(), "render: "))
	case errors.As(waited, &ended):
		a.Error.Rule = "render-crash"
		a.Error.Message = "the renderer died: " + p.errors.first()
	default:
		return nil, errGone
	}
	said, err = json.Marshal(a)
	return append(said, '\n'), err
}

// tail keeps the beginning of what a process says, enough for the cause of its death.
type tail struct {
	lock sync.Mutex
	said bytes.Buffer
}

func (t *tail) Write(data []byte) (int, error) {
	t.lock.Lock()
	defer t.lock.Unlock()
	if room := 4096 - t.said.Len(); room > 0 {
		t.said.Write(data[:min(room, len(data))])
	}
	return len(data), nil
}

func (t *tail) String() string {
	t.lock.Lock()
	defer t.lock.Unlock()
	return strings.TrimSpace(t.said.String())
}

func (t *tail) first() string {
	for _, line := range strings.Split(t.String(), "\n") {
		if strings.HasPrefix(line, "fatal error:") || strings.HasPrefix(line, "panic:") || strings.HasPrefix(line, "runtime:") {
			return line
		}
	}
	line, _, _ := strings.Cut(t.String(), "\n")
	return line
}
