#!/usr/bin/env python3
"""Damage one byte of a file on a data server's disk: corrupt.py DATA_PORT PATH."""

import bootstrap

bootstrap.run("dfs.cli.corrupt", "main_corrupt")
