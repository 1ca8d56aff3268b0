module slipway.dev/tools/crds

go 1.27.0

require (
	github.com/aws/amazon-vpc-resource-controller-k8s v1.8.2
	github.com/external-secrets/external-secrets v1.3.2
)
