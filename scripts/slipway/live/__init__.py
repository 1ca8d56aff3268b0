"""Where a commit or an image is: what Git says, what Argo CD does about it, and what the Pods run."""
