"""`make torture`: real processes and real mounts under verifying writers, while everything that can break is broken in turn."""
