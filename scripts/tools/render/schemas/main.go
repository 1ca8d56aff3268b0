// Command schemas writes one strict JSON schema a kind, for kubeconform: schemas OUT SWAGGER_OR_CRDS...
//
// A source is Kubernetes' swagger.json, or a file or folder of CustomResourceDefinitions. The result is
// OUT/<group>/<kind>_<version>.json, where the core group is its version ("v1").
package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"go.yaml.in/yaml/v3"
)

type schema = map[string]any

func main() {
	if len(os.Args) < 3 {
		fmt.Fprintln(os.Stderr, "usage: schemas OUT SWAGGER_OR_CRDS...")
		os.Exit(2)
	}
	written := 0
	for _, source := range os.Args[2:] {
		count, err := convert(source, os.Args[1])
		if err != nil {
			fmt.Fprintf(os.Stderr, "schemas: %s: %v\n", source, err)
			os.Exit(1)
		}
		written += count
	}
	fmt.Printf("%d schemas\n", written)
}

func convert(source, out string) (int, error) {
	if strings.HasSuffix(source, "swagger.json") {
		return convertSwagger(source, out)
	}
	count := 0
	err := filepath.WalkDir(source, func(name string, item fs.DirEntry, err error) error {
		if err != nil || item.IsDir() || !strings.HasSuffix(name, ".yaml") {
			return err
		}
		number, err := convertDefinitions(name, out)
		count += number
		return err
	})
	if err == nil && count == 0 {
		err = fmt.Errorf("no definitions found")
	}
	return count, err
}

func write(out, apiVersion, kind string, s schema) error {
	group, version, ok := strings.Cut(apiVersion, "/")
	if !ok {
		group, version = apiVersion, apiVersion
	}
	properties := at(s, "properties")
	properties["apiVersion"] = schema{"type": "string", "enum": []any{apiVersion}}
	properties["kind"] = schema{"type": "string", "enum": []any{kind}}
	s["required"] = append(without(strings_(s["required"]), "apiVersion", "kind"), "apiVersion", "kind")
	data, err := json.Marshal(s)
	if err != nil {
		return err
	}
	folder := filepath.Join(out, group)
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(folder, strings.ToLower(kind)+"_"+version+".json"), data, 0o644)
}

// Kubernetes' own kinds

const prefix = "#/definitions/"

func convertSwagger(source, out string) (int, error) {
	data, err := os.ReadFile(source)
	if err != nil {
		return 0, err
	}
	var swagger struct{ Definitions map[string]schema }
	if err := json.Unmarshal(data, &swagger); err != nil {
		return 0, err
	}
	strict := map[string]schema{}
	for name, definition := range swagger.Definitions {
		strict[name] = strictly(name, definition)
	}
	count := 0
	for name, definition := range swagger.Definitions {
		kinds, _ := definition["x-kubernetes-group-version-kind"].([]any)
		if len(kinds) != 1 || at(definition, "properties")["metadata"] == nil || strings.HasSuffix(name, "List") {
			continue
		}
		gvk := kinds[0].(schema)
		apiVersion := gvk["version"].(string)
		if group := gvk["group"].(string); group != "" {
			apiVersion = group + "/" + apiVersion
		}
		whole := copied(strict[name])
		whole["definitions"] = closure(whole, strict)
		if err := write(out, apiVersion, gvk["kind"].(string), whole); err != nil {
			return 0, err
		}
		count++
	}
	return count, nil
}

// strictly is a definition as kubeconform's own schemas have it: no unknown fields, null for what is optional.
func strictly(name string, definition schema) schema {
	switch name {
	case "io.k8s.apimachinery.pkg.util.intstr.IntOrString":
		return schema{"oneOf": []any{schema{"type": "string"}, schema{"type": "integer"}}}
	case "io.k8s.apimachinery.pkg.api.resource.Quantity":
		return schema{"oneOf": []any{schema{"type": "string"}, schema{"type": "number"}}}
	}
	s := stripped(definition).(schema)
	properties, ok := s["properties"].(schema)
	if !ok {
		return s
	}
	required := map[string]bool{}
	for _, field := range strings_(s["required"]) {
		required[field] = true
	}
	for field, value := range properties {
		if !required[field] {
			properties[field] = nullable(value.(schema))
		}
	}
	if _, open := s["additionalProperties"]; !open {
		s["additionalProperties"] = false
	}
	return s
}

func nullable(s schema) schema {
	if kind, ok := s["type"].(string); ok {
		s["type"] = []any{kind, "null"}
		return s
	}
	if _, ok := s["$ref"]; ok {
		return schema{"oneOf": []any{schema{"type": "null"}, s}}
	}
	return s
}

// stripped is a copy without what only people read and what validators do not know.
func stripped(value any) any {
	switch typed := value.(type) {
	case schema:
		result := schema{}
		for key, inner := range typed {
			if key == "description" || key == "default" || key == "example" || strings.HasPrefix(key, "x-kubernetes-") {
				if _, isText := inner.(string); isText || strings.HasPrefix(key, "x-") || key == "default" {
					continue
				}
			}
			result[key] = stripped(inner)
		}
		return result
	case []any:
		result := make([]any, len(typed))
		for i, inner := range typed {
			result[i] = stripped(inner)
		}
		return result
	}
	return value
}

// closure are all definitions that a schema refers to, directly or not.
func closure(s schema, definitions map[string]schema) schema {
	found := schema{}
	var follow func(value any)
	follow = func(value any) {
		switch typed := value.(type) {
		case schema:
			if ref, ok := typed["$ref"].(string); ok {
				name := strings.TrimPrefix(ref, prefix)
				if _, known := found[name]; !known {
					found[name] = definitions[name]
					follow(definitions[name])
				}
			}
			for _, inner := range typed {
				follow(inner)
			}
		case []any:
			for _, inner := range typed {
				follow(inner)
			}
		}
	}
	follow(s)
	return found
}

// Custom resources

type customResource struct {
	Kind string
	Spec struct {
		Group    string
		Names    struct{ Kind string }
		Versions []struct {
			Name   string
			Schema struct {
				OpenAPIV3Schema schema `yaml:"openAPIV3Schema"`
			}
		}
	}
}

func convertDefinitions(name, out string) (int, error) {
	data, err := os.ReadFile(name)
	if err != nil {
		return 0, err
	}
	count := 0
	for decoder := yaml.NewDecoder(bytes.NewReader(data)); ; {
		var crd customResource
		if err := decoder.Decode(&crd); err == io.EOF {
			return count, nil
		} else if err != nil {
			return count, err
		}
		if crd.Kind != "CustomResourceDefinition" {
			continue
		}
		for _, version := range crd.Spec.Versions {
			s := structural(version.Schema.OpenAPIV3Schema, true)
			at(s, "properties")["metadata"] = metadata()
			if err := write(out, crd.Spec.Group+"/"+version.Name, crd.Spec.Names.Kind, s); err != nil {
				return count, err
			}
			count++
		}
	}
}

// metadata allows what ObjectMeta has; the server fills in the rest.
func metadata() schema {
	text := schema{"type": []any{"string", "null"}}
	texts := schema{"type": []any{"object", "null"}, "additionalProperties": text}
	return schema{"type": "object", "additionalProperties": false, "properties": schema{
		"name": text, "generateName": text, "namespace": text, "labels": texts, "annotations": texts,
		"finalizers":        schema{"type": []any{"array", "null"}, "items": schema{"type": "string"}},
		"ownerReferences":   schema{"type": []any{"array", "null"}, "items": schema{"type": "object"}},
		"managedFields":     schema{"type": []any{"array", "null"}, "items": schema{"type": "object"}},
		"creationTimestamp": text, "deletionTimestamp": text, "resourceVersion": text, "uid": text, "selfLink": text,
		"generation":                 schema{"type": []any{"integer", "null"}},
		"deletionGracePeriodSeconds": schema{"type": []any{"integer", "null"}},
	}}
}

// structural turns a structural schema into a JSON schema that allows no unknown fields. Inside allOf, anyOf, oneOf
// and not, which only narrow what the schema around them describes, fields stay open.
func structural(s schema, closed bool) schema {
	result := schema{}
	for key, value := range s {
		switch key {
		case "description", "default", "example", "nullable", "externalDocs", "title":
		case "format":
			if value != "duration" { // Go's durations, which JSON schemas do not know
				result[key] = value
			}
		case "properties":
			properties := schema{}
			for field, inner := range value.(schema) {
				properties[field] = structural(inner.(schema), closed)
			}
			result[key] = properties
		case "additionalProperties", "items", "not":
			if inner, ok := value.(schema); ok {
				result[key] = structural(inner, closed && key != "not")
			} else {
				result[key] = value
			}
		case "allOf", "anyOf", "oneOf":
			var forms []any
			for _, inner := range value.([]any) {
				forms = append(forms, structural(inner.(schema), false))
			}
			result[key] = forms
		default:
			if !strings.HasPrefix(key, "x-kubernetes-") {
				result[key] = value
			}
		}
	}
	if truth(s["x-kubernetes-int-or-string"]) {
		delete(result, "type")
		if result["anyOf"] == nil {
			result["anyOf"] = []any{schema{"type": "integer"}, schema{"type": "string"}}
		}
	}
	_, described := result["properties"]
	_, open := result["additionalProperties"]
	if truth(s["x-kubernetes-embedded-resource"]) && described {
		properties := at(result, "properties")
		for _, field := range []string{"apiVersion", "kind"} {
			properties[field] = schema{"type": "string"}
		}
		properties["metadata"] = schema{"type": "object"}
	}
	if closed && described && !open && !truth(s["x-kubernetes-preserve-unknown-fields"]) {
		result["additionalProperties"] = false
	}
	if kind, ok := result["type"].(string); ok && truth(s["nullable"]) {
		result["type"] = []any{kind, "null"}
		if values, ok := result["enum"].([]any); ok {
			result["enum"] = append(values, nil)
		}
	}
	return result
}

func at(s schema, key string) schema {
	inner, ok := s[key].(schema)
	if !ok {
		inner = schema{}
		s[key] = inner
	}
	return inner
}

func copied(s schema) schema {
	data, _ := json.Marshal(s)
	var result schema
	json.Unmarshal(data, &result)
	return result
}

func truth(value any) bool {
	set, ok := value.(bool)
	return ok && set
}

func strings_(value any) []string {
	var found []string
	switch typed := value.(type) {
	case []string:
		return typed
	case []any:
		for _, item := range typed {
			if text, ok := item.(string); ok {
				found = append(found, text)
			}
		}
	}
	return found
}

func without(values []string, unwanted ...string) []string {
	var kept []string
	for _, value := range values {
		wanted := true
		for _, one := range unwanted {
			wanted = wanted && value != one
		}
		if wanted {
			kept = append(kept, value)
		}
	}
	return kept
}
