"""The local platform: Kubernetes in namespaces of its own, and the services around it."""
