"""The way to the meta-server: the session, its grants, handles and caches, and every call that needs them."""
