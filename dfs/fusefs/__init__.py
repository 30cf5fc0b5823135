"""The boundary to the kernel: the one import of the FUSE binding."""
