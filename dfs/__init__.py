"""dfs: a replicated file system for a handful of Linux machines."""

__version__ = "0.1.0"
