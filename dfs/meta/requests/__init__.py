"""What clients and tools ask of the meta-server, one module per kind of request."""
