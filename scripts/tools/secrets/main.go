// Command external-secrets is the operator with the reconcilers of SecretStores and ExternalSecrets and the provider
// that this repository uses, AWS: the stock build carries thirty more and takes ten times as long to compile.
//
// It runs outside the cluster, with the kubeconfig of KUBECONFIG, for one namespace: external-secrets NAMESPACE.
package main

import (
	"fmt"
	"os"
	"time"

	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/log/zap"
	"sigs.k8s.io/controller-runtime/pkg/metrics/server"

	esv1 "github.com/external-secrets/external-secrets/apis/externalsecrets/v1"
	ctrlcommon "github.com/external-secrets/external-secrets/pkg/controllers/common"
	"github.com/external-secrets/external-secrets/pkg/controllers/externalsecret"
	"github.com/external-secrets/external-secrets/pkg/controllers/externalsecret/esmetrics"
	ctrlmetrics "github.com/external-secrets/external-secrets/pkg/controllers/metrics"
	"github.com/external-secrets/external-secrets/pkg/controllers/secretstore"
	"github.com/external-secrets/external-secrets/pkg/controllers/secretstore/ssmetrics"
	_ "github.com/external-secrets/external-secrets/pkg/provider/aws"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: external-secrets NAMESPACE")
		os.Exit(2)
	}
	ctrl.SetLogger(zap.New())
	if err := run(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, "external-secrets:", err)
		os.Exit(1)
	}
}

func run(namespace string) error {
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{clientgoscheme.AddToScheme, esv1.AddToScheme} {
		if err := add(scheme); err != nil {
			return err
		}
	}
	ctrlmetrics.SetUpLabelNames(false)
	esmetrics.SetUpMetrics()
	ssmetrics.SetUpMetrics()
	config, err := ctrl.GetConfig()
	if err != nil {
		return err
	}
	manager, err := ctrl.NewManager(config, ctrl.Options{
		Scheme:  scheme,
		Metrics: server.Options{BindAddress: "0"},
		Cache:   cache.Options{DefaultNamespaces: map[string]cache.Config{namespace: {}}},
	})
	if err != nil {
		return err
	}
	options := controller.Options{MaxConcurrentReconciles: 1, RateLimiter: ctrlcommon.BuildRateLimiter()}
	stores := &secretstore.StoreReconciler{
		Client:          manager.GetClient(),
		Log:             ctrl.Log.WithName("SecretStore"),
		Scheme:          scheme,
		ControllerClass: "default",
		RequeueInterval: 5 * time.Minute,
	}
	if err := stores.SetupWithManager(manager, options); err != nil {
		return err
	}
	secrets := &externalsecret.Reconciler{
		Client:          manager.GetClient(),
		SecretClient:    manager.GetClient(),
		Log:             ctrl.Log.WithName("ExternalSecret"),
		Scheme:          scheme,
		RestConfig:      config,
		ControllerClass: "default",
		RequeueInterval: time.Hour,
		EnableFloodGate: true,
	}
	options.RateLimiter = ctrlcommon.BuildRateLimiter()
	if err := secrets.SetupWithManager(manager, options); err != nil {
		return err
	}
	return manager.Start(ctrl.SetupSignalHandler())
}
