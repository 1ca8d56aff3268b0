"""Pull requests: what the rest needs of a forge, and one border for each kind."""
