"""dfs beside MooseFS and GlusterFS on this machine, line by line; `make bench-peers` runs it, docs/performance.md explains it."""
