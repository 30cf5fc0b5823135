"""How fast it is, as ratios to ceilings measured in the same run; `make bench` runs it, docs/performance.md explains it."""
