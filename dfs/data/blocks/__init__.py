"""The block store: what all operations on blocks share, and each operation."""
