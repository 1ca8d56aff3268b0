package main

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"strings"

	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/api/resmap"
	"sigs.k8s.io/kustomize/api/types"
	"sigs.k8s.io/kustomize/kyaml/openapi"
)

// argoCD are the options of `kustomize build` without flags, which is how Argo CD calls it by default.
var argoCD = &krusty.Options{
	Reorder:          krusty.ReorderOptionUnspecified,
	LoadRestrictions: types.LoadRestrictionsRootOnly,
	PluginConfig:     types.DisabledPluginConfig(),
}

// build renders one overlay. A panic of the library becomes an error; the process should then be given up.
func build(c *confined, folder string) (m resmap.ResMap, panicked bool, err error) {
	defer func() {
		if cause := recover(); cause != nil {
			panicked, err = true, fmt.Errorf("kustomize panicked: %v", cause)
		}
	}()
	m, err = krusty.MakeKustomizer(argoCD).Run(c, path.Join(mount, folder))
	if c.customSchema() {
		openapi.ResetOpenAPI() // it would stay for the next overlay
	}
	return m, false, err
}

// answerTo renders and describes one overlay; the second result says that the process should be given up.
func answerTo(r request, c *confined, s *schemas) (a answer, broken bool) {
	a = answer{ID: r.ID, Path: r.Path}
	defer func() {
		if cause := recover(); cause != nil {
			a.Error, broken = &refusal{"render-crash", fmt.Sprintf("the renderer panicked: %v", cause), r.Path, 1}, true
		}
		a.Files, a.Absent, a.Duplicates = c.files, c.missing(), c.duplicates()
	}()
	m, broken, err := build(c, r.Path)
	if err != nil || len(c.refusals) > 0 {
		a.Error = c.explain(r.Path, err)
		if broken {
			a.Error.Rule = "render-crash"
		}
		return a, broken
	}
	if r.Objects || r.Check {
		if a.Objects, err = describe(m, r, c, s); err != nil {
			a.Error = &refusal{"render-failed", err.Error(), c.kustomization(r.Path), 1}
			return a, false
		}
		a.Documents = c.kustomizations()
	}
	if r.Digest || r.YAML {
		rendered, err := m.AsYaml()
		if err != nil {
			a.Error = &refusal{"render-failed", err.Error(), c.kustomization(r.Path), 1}
			return a, false
		}
		if r.YAML {
			a.YAML = string(rendered)
		}
		sum := sha256.Sum256(rendered)
		a.Digest = hex.EncodeToString(sum[:])
	}
	return a, false
}

func describe(m resmap.ResMap, r request, c *confined, s *schemas) ([]object, error) {
	from := newOrigins(c, r.Path)
	objects := make([]object, 0, m.Size())
	for _, one := range m.Resources() {
		// As one.MarshalJSON does, without writing and parsing the YAML in between.
		var content map[string]any
		if err := one.YNode().Decode(&content); err != nil {
			return nil, err
		}
		data, err := json.Marshal(content)
		if err != nil {
			return nil, err
		}
		described := object{Data: data}
		described.File, described.Line = from.of(one.GetGvk().Group, one.GetKind(), one.GetName())
		if r.Check {
			described.Verdict, described.Problems = s.check(data)
			for i := range described.Problems {
				c.place(&described.Problems[i], described)
			}
		}
		if !r.Objects {
			described.Data = nil
		}
		objects = append(objects, described)
	}
	return objects, nil
}

// customSchema is whether a kustomization that was read brings its own OpenAPI schema.
func (c *confined) customSchema() bool {
	for _, seen := range c.inspected {
		for _, data := range seen.data {
			var top map[string]json.RawMessage
			if json.Unmarshal(data, &top) == nil {
				for name := range top {
					if strings.EqualFold(name, "openapi") {
						return true
					}
				}
			}
		}
	}
	return false
}

func (c *confined) kustomizations() map[string][]json.RawMessage {
	found := map[string][]json.RawMessage{}
	for name, seen := range c.inspected {
		if seen.data != nil {
			found[name] = seen.data
		}
	}
	return found
}

func (c *confined) duplicates() []duplicate {
	var found []duplicate
	for _, name := range sortedKeys(c.inspected) {
		for _, one := range c.inspected[name].duplicates {
			found = append(found, duplicate{name, one.Line, one.Key})
		}
	}
	return found
}

// kustomization is the path of a folder's kustomization, as far as it was read.
func (c *confined) kustomization(folder string) string {
	for _, name := range []string{"kustomization.yaml", "kustomization.yml", "Kustomization"} {
		if _, ok := c.files[path.Join(folder, name)]; ok {
			return path.Join(folder, name)
		}
	}
	return path.Join(folder, "kustomization.yaml")
}

// explain turns what went wrong into one named error with the best place there is.
func (c *confined) explain(folder string, err error) *refusal {
	if len(c.refusals) > 0 {
		first := *c.refusals[0]
		if first.File == "" {
			first.File, first.Line = c.blame(folder, func(target string) bool { return strings.HasPrefix(target, "../") || target == ".." })
		}
		return &first
	}
	var refused *refusal
	if errors.As(err, &refused) {
		return refused
	}
	said := strings.ReplaceAll(strings.ReplaceAll(err.Error(), mount+"/", ""), mount, ".")
	file, line := c.blame(folder, func(target string) bool { return c.absent[target] || c.absent[path.Join(target, "kustomization.yaml")] })
	found := &refusal{"render-failed", shorten(said), file, line}
	switch {
	case strings.Contains(said, "cycle detected"):
		found.Rule, found.Message = "cycle", "this leads back to a folder that is being rendered"
		found.File, found.Line = c.blame(folder, func(target string) bool { return strings.Contains(said, "candidate root '"+target+"'") })
	case strings.Contains(said, "already defined at line"):
		for _, one := range c.duplicates() {
			return &refusal{"duplicate-key", fmt.Sprintf("the key `%s` stands twice in one mapping", one.Key), one.File, one.Line}
		}
	case strings.Contains(said, "external plugins disabled"), strings.Contains(said, "must specify --enable-helm"),
		strings.Contains(said, "unable to load external plugin"):
		found.Rule = "plugin"
		found.File, found.Line = c.blameField(folder, "generators", "transformers", "validators")
	case strings.Contains(said, "no 'git' program"), strings.Contains(said, refusedConnection.Error()):
		found.Rule = "remote-base"
	}
	return found
}

// blameField finds the first of these fields in the files read; else the overlay itself.
func (c *confined) blameField(folder string, fields ...string) (string, int) {
	for _, name := range append([]string{c.kustomization(folder)}, sortedKeys(c.inspected)...) {
		if seen := c.inspected[name]; seen != nil {
			for _, field := range fields {
				if line, ok := seen.fields[field]; ok {
					return name, line
				}
			}
		}
	}
	return c.kustomization(folder), 1
}

// blame finds the first reference, in the files read, that leads to a wanted target; else the overlay itself.
func (c *confined) blame(folder string, wanted func(target string) bool) (string, int) {
	best, line := c.kustomization(folder), 1
	found := false
	for _, name := range sortedKeys(c.inspected) {
		for _, one := range c.inspected[name].references {
			target := path.Join(path.Dir(name), one.value)
			if path.IsAbs(one.value) {
				target = "../" + one.value
			}
			if wanted(target) && (!found || name == c.kustomization(folder)) {
				best, line, found = name, one.line, true
				break
			}
		}
	}
	return best, line
}

const saidLimit = 2000

func shorten(said string) string {
	said = strings.TrimSpace(said)
	if len(said) > saidLimit {
		return strings.ToValidUTF8(said[:saidLimit], "") + " …"
	}
	return said
}
