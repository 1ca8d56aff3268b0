"""An environment's policy: its model, its schema, its edits, and when it is open."""
