"""The channel to the kernel that is /dev/fuse itself: the FUSE protocol spoken by dfs, without libfuse (decision record 26)."""
