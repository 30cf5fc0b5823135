"""Facts that an operator should act on: the kinds of events, a module for each of those who tell them.

A kind is never renumbered or reused; the journal and the message catalogue, packaging/dfs.catalog, find it by its id.
"""
