"""What `slipway new` writes: the files of an application, from templates and from what the repository has."""
