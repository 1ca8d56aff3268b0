package main

import "encoding/json"

// answer is what became of one request. Paths are relative to the repository, with slashes.
type answer struct {
	ID         int                          `json:"id"`
	Path       string                       `json:"path"`
	Error      *refusal                     `json:"error,omitempty"`
	Objects    []object                     `json:"objects,omitempty"`
	Digest     string                       `json:"digest,omitempty"` // SHA-256 of the rendered YAML
	YAML       string                       `json:"yaml,omitempty"`
	Files      map[string]string            `json:"files"`  // every file reached: its id as a git blob
	Absent     []string                     `json:"absent"` // what was looked for and is not there
	Documents  map[string][]json.RawMessage `json:"documents,omitempty"`
	Duplicates []duplicate                  `json:"duplicates,omitempty"`
}

// object is one rendered object, with the place of the document that brought it in.
type object struct {
	Data     json.RawMessage `json:"data"`
	File     string          `json:"file"`
	Line     int             `json:"line"`
	Verdict  string          `json:"verdict,omitempty"` // valid, invalid or unknown
	Problems []problem       `json:"problems,omitempty"`
}

// problem is a place in an object that its schema does not allow.
type problem struct {
	Path    string `json:"path"`
	Message string `json:"message"`
	File    string `json:"file"`
	Line    int    `json:"line"`
}

// duplicate is a key that a mapping holds twice.
type duplicate struct {
	File string `json:"file"`
	Line int    `json:"line"`
	Key  string `json:"key"`
}

// refusal is an error with a name: why an overlay was not rendered.
type refusal struct {
	Rule    string `json:"rule"`
	Message string `json:"message"`
	File    string `json:"file"`
	Line    int    `json:"line"`
}

func (r *refusal) Error() string { return r.Message }
