package main

import (
	"path"
	"sort"
	"strings"
)

// origins finds the document that brought a rendered object in. Names change on the way (prefixes, suffixes,
// hashes), so this is a good guess; what cannot be guessed is put down to the overlay itself.
type origins struct {
	byKind  map[string][]place
	overlay string
}

type place struct {
	name, file string
	line       int
}

func newOrigins(c *confined, folder string) *origins {
	o := &origins{byKind: map[string][]place{}, overlay: c.kustomization(folder)}
	for _, name := range sortedKeys(c.inspected) {
		seen := c.inspected[name]
		for _, one := range seen.references {
			target := path.Join(path.Dir(name), one.value)
			brought := c.inspected[target]
			if !strings.EqualFold(one.field, "resources") || brought == nil || isKustomization(target) {
				continue
			}
			for _, document := range brought.documents {
				key := document.group + "/" + document.kind
				o.byKind[key] = append(o.byKind[key], place{document.name, target, document.line})
			}
		}
		for _, one := range seen.generated {
			o.byKind["/"+one.file] = append(o.byKind["/"+one.file], place{one.name, name, one.line})
		}
	}
	return o
}

// of returns the file and line of the object's source.
func (o *origins) of(group, kind, name string) (string, int) {
	best, length := place{"", o.overlay, 1}, -1
	places := o.byKind[group+"/"+kind]
	if len(places) == 1 {
		return places[0].file, places[0].line
	}
	for _, one := range places {
		switch {
		case one.name == name:
			return one.file, one.line
		case strings.Contains(name, one.name) && len(one.name) > length:
			best, length = one, len(one.name)
		}
	}
	return best.file, best.line
}

func sortedKeys(files map[string]*inspection) []string {
	names := make([]string, 0, len(files))
	for name := range files {
		names = append(names, name)
	}
	sort.Strings(names)
	return names
}
