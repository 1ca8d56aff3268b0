"""The release board's page; it knows the backend only through `client`."""
