#!/usr/bin/env python3
"""Run the meta-server with the original arguments: metaserver.py PORT [--state DIR]."""

import bootstrap

bootstrap.run("dfs.cli.meta", "main_metaserver")
