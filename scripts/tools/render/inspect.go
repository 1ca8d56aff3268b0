package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"path"
	"regexp"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
	k8syaml "sigs.k8s.io/yaml"
)

// inspection is what a file says by itself, whoever reaches it. Inspections of equal files are shared.
type inspection struct {
	documents  []document
	duplicates []duplicate
	references []reference
	generated  []place
	fields     map[string]int // the line of every field of a kustomization, in lower case
	data       []json.RawMessage
	refusal    *refusal
}

// document is a Kubernetes object in a file.
type document struct {
	group, kind, name, namespace string
	line                         int
}

// reference is a path that a kustomization names.
type reference struct {
	field, value string
	line         int
}

const (
	expandedLimit   = 200_000 // nodes of a document with its aliases written out
	keptInspections = 8192
)

var (
	inspections = map[string]*inspection{}
	remote      = regexp.MustCompile(`(?i)^(git::|[a-z][a-z0-9+.-]*://|github\.com[/:]|[a-z][a-z0-9-]*@[^/]+[:/])`)
)

func isKustomization(name string) bool {
	switch path.Base(name) {
	case "kustomization.yaml", "kustomization.yml", "Kustomization":
		return true
	}
	return false
}

func inspect(name, id string, content []byte) *inspection {
	key := id
	if isKustomization(name) {
		key = "k" + id
	}
	if known, ok := inspections[key]; ok {
		return known
	}
	if len(inspections) >= keptInspections {
		inspections = map[string]*inspection{}
	}
	seen := &inspection{}
	inspections[key] = seen
	switch path.Ext(name) {
	case ".yaml", ".yml", ".json", "":
	default:
		if !bytes.ContainsAny(content, "*") || !bytes.ContainsAny(content, "&") {
			return seen
		}
	}
	seen.read(content, isKustomization(name))
	return seen
}

func (s *inspection) read(content []byte, kustomization bool) {
	decoder := yaml.NewDecoder(bytes.NewReader(content))
	var nodes []*yaml.Node
	for {
		node := &yaml.Node{}
		err := decoder.Decode(node)
		if err == io.EOF {
			break
		}
		if err != nil { // kustomize says what is wrong
			break
		}
		if size := expanded(node, map[*yaml.Node]int{}); size > expandedLimit {
			s.refusal = &refusal{"yaml-bomb", fmt.Sprintf(
				"the document stands for more than %d values", expandedLimit), "", node.Line}
			return
		}
		s.findDuplicates(node)
		nodes = append(nodes, node)
	}
	for _, node := range nodes {
		if one, ok := asDocument(node); ok {
			s.documents = append(s.documents, one)
		}
	}
	if !kustomization || len(nodes) == 0 {
		return
	}
	s.data = append(s.data, firstAsJSON(content))
	for _, node := range nodes[1:] {
		s.data = append(s.data, nodeAsJSON(node))
	}
	s.references = references(nodes[0])
	s.generated = generated(nodes[0])
	s.fields = map[string]int{}
	eachField(nodes[0], func(key, _ *yaml.Node) { s.fields[strings.ToLower(key.Value)] = key.Line })
	for _, one := range s.references {
		if remote.MatchString(one.value) {
			s.refusal = &refusal{"remote-base", fmt.Sprintf(
				"%s names %s, which is not in the repository", one.field, withoutUser(one.value)), "", one.line}
			return
		}
	}
	for _, field := range helmFields {
		if line, ok := s.fields[strings.ToLower(field)]; ok {
			s.refusal = &refusal{"plugin", field + " starts a program", "", line}
		}
	}
}

var userInfo = regexp.MustCompile(`://[^/\s@]+@`)

func withoutUser(url string) string { return userInfo.ReplaceAllString(url, "://") }

// expanded counts the nodes of a document in which every alias is replaced by what it stands for.
func expanded(node *yaml.Node, sizes map[*yaml.Node]int) int {
	if size, ok := sizes[node]; ok {
		return size
	}
	sizes[node] = expandedLimit + 1 // an anchor that contains itself
	size := 1
	if node.Kind == yaml.AliasNode {
		size += expanded(node.Alias, sizes)
	}
	for _, child := range node.Content {
		if size += expanded(child, sizes); size > expandedLimit {
			break
		}
	}
	sizes[node] = size
	return size
}

func (s *inspection) findDuplicates(node *yaml.Node) {
	if node.Kind == yaml.MappingNode {
		seen := make(map[string]bool, len(node.Content)/2)
		for i := 0; i+1 < len(node.Content); i += 2 {
			key := node.Content[i]
			if key.Kind != yaml.ScalarNode {
				continue
			}
			if seen[key.Value] {
				s.duplicates = append(s.duplicates, duplicate{"", key.Line, key.Value})
			}
			seen[key.Value] = true
		}
	}
	for _, child := range node.Content {
		s.findDuplicates(child)
	}
}

func field(node *yaml.Node, name string) *yaml.Node {
	if node == nil {
		return nil
	}
	if node.Kind == yaml.DocumentNode && len(node.Content) > 0 {
		node = node.Content[0]
	}
	if node.Kind == yaml.AliasNode {
		node = node.Alias
	}
	if node.Kind != yaml.MappingNode {
		return nil
	}
	for i := 0; i+1 < len(node.Content); i += 2 {
		if node.Content[i].Value == name {
			return node.Content[i+1]
		}
	}
	return nil
}

func text(node *yaml.Node) string {
	if node == nil || node.Kind != yaml.ScalarNode {
		return ""
	}
	return node.Value
}

func asDocument(node *yaml.Node) (document, bool) {
	version, kind := text(field(node, "apiVersion")), text(field(node, "kind"))
	if version == "" || kind == "" {
		return document{}, false
	}
	metadata := field(node, "metadata")
	line := node.Line
	if len(node.Content) > 0 {
		line = node.Content[0].Line
	}
	return document{groupOf(version), kind, text(field(metadata, "name")), text(field(metadata, "namespace")), line}, true
}

func groupOf(apiVersion string) string {
	group, _, ok := strings.Cut(apiVersion, "/")
	if !ok {
		return ""
	}
	return group
}

// firstAsJSON is the first document as kustomize reads it.
func firstAsJSON(content []byte) json.RawMessage {
	converted, err := k8syaml.YAMLToJSON(content)
	if err != nil {
		return json.RawMessage("null")
	}
	return converted
}

func nodeAsJSON(node *yaml.Node) json.RawMessage {
	var value any
	if node.Decode(&value) != nil {
		return json.RawMessage("null")
	}
	converted, err := json.Marshal(value)
	if err != nil {
		return json.RawMessage("null")
	}
	return converted
}

// Fields of a kustomization whose values, or the values of whose keys, are paths. kustomize ignores case.
var (
	pathLists = map[string]bool{
		"resources": true, "bases": true, "components": true, "crds": true, "configurations": true,
		"generators": true, "transformers": true, "validators": true, "patchesstrategicmerge": true,
	}
	pathsIn = map[string][]string{
		"patches": {"path"}, "patchesjson6902": {"path"}, "replacements": {"path"}, "openapi": {"path"},
		"configmapgenerator": {"files", "envs", "env"}, "secretgenerator": {"files", "envs", "env"},
	}
	helmFields = []string{"helmCharts", "helmChartInflationGenerator"}
)

func references(node *yaml.Node) []reference {
	var found []reference
	eachField(node, func(key, value *yaml.Node) {
		name := strings.ToLower(key.Value)
		if pathLists[name] {
			found = append(found, paths(key.Value, value)...)
		}
		for _, inner := range pathsIn[name] {
			for _, item := range items(value) {
				eachField(item, func(innerKey, innerValue *yaml.Node) {
					if strings.EqualFold(innerKey.Value, inner) {
						found = append(found, paths(key.Value, innerValue)...)
					}
				})
			}
		}
	})
	return found
}

// paths are the one-line texts of a node or of its items; others are written in place.
func paths(name string, node *yaml.Node) []reference {
	var found []reference
	for _, item := range items(node) {
		if item.Kind != yaml.ScalarNode || item.Value == "" || strings.Contains(item.Value, "\n") {
			continue
		}
		value := item.Value
		if lower := strings.ToLower(name); strings.HasSuffix(lower, "generator") {
			if _, after, ok := strings.Cut(value, "="); ok { // key=path
				value = after
			}
		}
		found = append(found, reference{name, value, item.Line})
	}
	return found
}

func items(node *yaml.Node) []*yaml.Node {
	if node.Kind == yaml.AliasNode {
		node = node.Alias
	}
	if node.Kind == yaml.SequenceNode {
		resolved := make([]*yaml.Node, len(node.Content))
		for i, item := range node.Content {
			if item.Kind == yaml.AliasNode {
				item = item.Alias
			}
			resolved[i] = item
		}
		return resolved
	}
	return []*yaml.Node{node}
}

func eachField(node *yaml.Node, do func(key, value *yaml.Node)) {
	if node.Kind == yaml.DocumentNode && len(node.Content) > 0 {
		node = node.Content[0]
	}
	if node.Kind == yaml.AliasNode {
		node = node.Alias
	}
	if node.Kind != yaml.MappingNode {
		return
	}
	for i := 0; i+1 < len(node.Content); i += 2 {
		do(node.Content[i], node.Content[i+1])
	}
}

// generated are the ConfigMaps and Secrets that a kustomization makes; their kind stands in for the file.
func generated(node *yaml.Node) []place {
	var found []place
	eachField(node, func(key, value *yaml.Node) {
		kind := map[string]string{"configmapgenerator": "ConfigMap", "secretgenerator": "Secret"}[strings.ToLower(key.Value)]
		if kind == "" {
			return
		}
		for _, item := range items(value) {
			found = append(found, place{text(field(item, "name")), kind, item.Line})
		}
	})
	return found
}

// lineOf walks down the document that begins at a line; it ends at the innermost step that is there.
func lineOf(content []byte, line int, steps []string) int {
	for decoder := yaml.NewDecoder(bytes.NewReader(content)); ; {
		document := &yaml.Node{}
		if decoder.Decode(document) != nil || len(document.Content) == 0 {
			return line
		}
		node := document.Content[0]
		if node.Line != line {
			continue
		}
		for _, step := range steps {
			if node.Kind == yaml.SequenceNode {
				index, err := strconv.Atoi(step)
				if err != nil || index >= len(node.Content) {
					return line
				}
				node = node.Content[index]
				line = node.Line
				continue
			}
			var next *yaml.Node
			eachField(node, func(key, value *yaml.Node) {
				if key.Value == step {
					next, line = value, key.Line
				}
			})
			if next == nil {
				return line
			}
			node = next
		}
		return line
	}
}
