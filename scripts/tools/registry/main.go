// The pinned CNCF registry, storing in files, with tags that never move: what ECR's immutability is on AWS.
package main

import (
	"context"
	"fmt"
	"os"
	"strings"

	"github.com/distribution/distribution/v3"
	"github.com/distribution/distribution/v3/registry"
	"github.com/distribution/distribution/v3/registry/api/errcode"
	middleware "github.com/distribution/distribution/v3/registry/middleware/repository"
	_ "github.com/distribution/distribution/v3/registry/storage/driver/filesystem"
	"github.com/opencontainers/go-digest"
)

// The option `movable`: prefixes of the tags that may move, since they name a digest themselves.
const movable = "movable"

func main() {
	if err := middleware.Register("immutable", wrap); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	if err := registry.RootCmd.Execute(); err != nil {
		os.Exit(1)
	}
}

func wrap(_ context.Context, inner distribution.Repository, options map[string]any) (distribution.Repository, error) {
	var prefixes []string
	given, _ := options[movable].([]any)
	for _, prefix := range given {
		text, ok := prefix.(string)
		if !ok || text == "" {
			return nil, fmt.Errorf("%s: not a prefix: %v", movable, prefix)
		}
		prefixes = append(prefixes, text)
	}
	return repository{inner, prefixes}, nil
}

type repository struct {
	distribution.Repository
	movable []string
}

func (r repository) Manifests(ctx context.Context, options ...distribution.ManifestServiceOption) (distribution.ManifestService, error) {
	inner, err := r.Repository.Manifests(ctx, options...)
	return manifests{inner, r}, err
}

func (r repository) Tags(ctx context.Context) distribution.TagService {
	return tags{r.Repository.Tags(ctx), r}
}

func (r repository) Blobs(ctx context.Context) distribution.BlobStore {
	return blobs{r.Repository.Blobs(ctx)}
}

func (r repository) moves(tag string) bool {
	for _, prefix := range r.movable {
		if strings.HasPrefix(tag, prefix) {
			return true
		}
	}
	return false
}

type manifests struct {
	distribution.ManifestService
	repository repository
}

// Put refuses a tag that names another manifest, before anything is stored.
func (m manifests) Put(ctx context.Context, manifest distribution.Manifest, options ...distribution.ManifestServiceOption) (digest.Digest, error) {
	for _, option := range options {
		tagged, ok := option.(distribution.WithTagOption)
		if !ok || m.repository.moves(tagged.Tag) {
			continue
		}
		if err := m.repository.keeps(ctx, tagged.Tag, manifest); err != nil {
			return "", err
		}
	}
	return m.ManifestService.Put(ctx, manifest, options...)
}

func (r repository) keeps(ctx context.Context, tag string, manifest distribution.Manifest) error {
	present, err := r.Repository.Tags(ctx).Get(ctx, tag)
	if _, unknown := err.(distribution.ErrTagUnknown); unknown {
		return nil
	}
	if err != nil {
		return err
	}
	_, payload, err := manifest.Payload()
	if err != nil {
		return err
	}
	if digest.FromBytes(payload) != present.Digest {
		return errcode.ErrorCodeDenied.WithMessage(fmt.Sprintf("the tag %s is %s; tags never move", tag, present.Digest))
	}
	return nil
}

// What is deleted could be pushed again as something else: only tags that may move are.

func (m manifests) Delete(context.Context, digest.Digest) error {
	return distribution.ErrUnsupported
}

type tags struct {
	distribution.TagService
	repository repository
}

func (t tags) Untag(ctx context.Context, tag string) error {
	if !t.repository.moves(tag) {
		return distribution.ErrUnsupported
	}
	return t.TagService.Untag(ctx, tag)
}

type blobs struct {
	distribution.BlobStore
}

func (b blobs) Delete(context.Context, digest.Digest) error {
	return distribution.ErrUnsupported
}
