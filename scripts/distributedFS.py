#!/usr/bin/env python3
"""Mount the file system with the original arguments: distributedFS.py MOUNTPOINT META_PORT DATA_PORT..."""

import bootstrap

bootstrap.run("dfs.cli.mount", "main_distributedfs", needs=[("fuse", "fusepy")])
