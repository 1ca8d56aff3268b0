"""The `images:` entries of kustomization files: read strictly, edited to the byte."""
