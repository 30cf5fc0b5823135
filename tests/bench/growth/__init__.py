"""Whether cost grows with what is not touched; `make bench-growth` runs it, docs/performance.md tells what it showed."""
