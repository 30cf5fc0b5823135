"""Composition roots: the only place that builds objects and reads arguments, environment and files."""
