"""A data server's service: block store, start-up recovery."""
