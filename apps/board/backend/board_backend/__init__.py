"""The release board's API: which version runs in which environment, told by Argo CD, kept in a database."""
