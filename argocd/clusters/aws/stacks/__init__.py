"""The stacks of a stage, one module each, in the order in which they are deployed."""
