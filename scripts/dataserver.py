#!/usr/bin/env python3
"""Run a data server with the original arguments: dataserver.py INDEX PORT... [--state DIR]."""

import bootstrap

bootstrap.run("dfs.cli.data", "main_dataserver")
