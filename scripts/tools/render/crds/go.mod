module slipway.dev/tools/crds

go 1.27.0

require github.com/external-secrets/external-secrets v1.3.2
