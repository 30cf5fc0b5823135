"""The meta-server's service: names, attributes, sessions, grants, cuts, reclaim."""
