"""Git without a checkout: a remote branch read piece by piece and written by plumbing."""
