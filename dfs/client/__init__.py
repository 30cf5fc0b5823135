"""What a mount does, without FUSE: files, replication, retry, caches."""
