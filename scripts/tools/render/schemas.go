package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/santhosh-tekuri/jsonschema/v6/kind"
	"golang.org/x/text/language"
	"golang.org/x/text/message"
)

// schemas gives verdicts on objects from a folder of schemas, as kubeconform does with -strict. kubeconform's own
// package parses every object a second time, from YAML, which costs more than all the rest of the validation.
type schemas struct {
	folder   string
	compiled map[string]*jsonschema.Schema // nil where there is no schema
}

func openSchemas(folder string) (*schemas, error) {
	if folder == "" {
		return nil, nil
	}
	if info, err := os.Stat(folder); err != nil || !info.IsDir() {
		return nil, fmt.Errorf("there are no schemas in %s", folder)
	}
	return &schemas{folder, map[string]*jsonschema.Schema{}}, nil
}

// check returns valid, invalid or unknown (no schema), and what is wrong.
func (s *schemas) check(data []byte) (string, []problem) {
	var head struct{ APIVersion, Kind string }
	if err := json.Unmarshal(data, &head); err != nil {
		return "invalid", []problem{{Message: err.Error()}}
	}
	schema := s.schema(head.APIVersion, head.Kind)
	if schema == nil {
		return "unknown", nil
	}
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(data))
	if err != nil {
		return "invalid", []problem{{Message: err.Error()}}
	}
	switch failed := schema.Validate(value).(type) {
	case nil:
		return "valid", nil
	case *jsonschema.ValidationError:
		found := leaves(failed, nil)
		slices.SortFunc(found, func(a, b problem) int {
			return strings.Compare(a.Path+"\x00"+a.Message, b.Path+"\x00"+b.Message)
		})
		return "invalid", slices.Compact(found)
	default:
		return "invalid", []problem{{Message: failed.Error()}}
	}
}

func (s *schemas) schema(apiVersion, objectKind string) *jsonschema.Schema {
	group, version, ok := strings.Cut(apiVersion, "/")
	if !ok {
		group, version = apiVersion, apiVersion
	}
	name := filepath.Join(group, strings.ToLower(objectKind)+"_"+version+".json")
	schema, known := s.compiled[name]
	if !known {
		if filepath.IsLocal(name) && strings.Count(name, "/") == 1 {
			compiler := jsonschema.NewCompiler()
			compiler.DefaultDraft(jsonschema.Draft4)
			schema, _ = compiler.Compile(filepath.Join(s.folder, name))
		}
		s.compiled[name] = schema
	}
	return schema
}

var english = message.NewPrinter(language.English)

// leaves are the innermost errors.
func leaves(failed *jsonschema.ValidationError, found []problem) []problem {
	switch failed.ErrorKind.(type) {
	case *kind.AnyOf, *kind.OneOf:
		forms := slices.DeleteFunc(slices.Clone(failed.Causes), onlyNull)
		if len(forms) == 1 { // an optional value: what it lacks is the one form that is not null
			return leaves(forms[0], found)
		}
		return append(found, problem{Path: pointer(failed), Message: describeForms(failed)})
	}
	if len(failed.Causes) == 0 {
		return append(found, problem{Path: pointer(failed), Message: failed.ErrorKind.LocalizedString(english)})
	}
	for _, cause := range failed.Causes {
		found = leaves(cause, found)
	}
	return found
}

func onlyNull(failed *jsonschema.ValidationError) bool {
	wanted, ok := failed.ErrorKind.(*kind.Type)
	return ok && len(wanted.Want) == 1 && wanted.Want[0] == "null"
}

func describeForms(failed *jsonschema.ValidationError) string {
	var said []string
	for _, cause := range failed.Causes {
		for _, one := range leaves(cause, nil) {
			if !slices.Contains(said, one.Message) {
				said = append(said, one.Message)
			}
		}
	}
	return strings.Join(said, "; or ")
}

func pointer(failed *jsonschema.ValidationError) string {
	return strings.Join(failed.InstanceLocation, "/")
}
