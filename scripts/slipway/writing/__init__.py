"""The write path: what bump, promote, rollback, release and freeze write, decided anew on every tip."""
