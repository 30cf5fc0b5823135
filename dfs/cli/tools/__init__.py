"""What the commands of dfsctl do, one module each, and what those have in common."""
