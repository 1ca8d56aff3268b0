"""Image references, what registries say of them, and what they must keep."""
