"""What servers, client and tools say to each other: every request with its answer, as frozen data classes.

To the meta-server a place in the tree is named by `base`, an inode, and `path`, bytes relative to it without a leading slash; an
empty path is the base itself. A path of any depth resolves in one call. Symbolic links are never followed there: the kernel
does that. The caller's uid, gid and groups travel in the CallContext (design sections 6 and 7).

To data servers the blocks of one request are described by runs: `blocks` of one role, numbered first, first + N, first + 2N and
so on, which are neighbours in their strip. Per-block values travel packed, in the order of the runs (design sections 4, 6, 8).
"""
