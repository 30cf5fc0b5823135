"""Adapters to this machine: disk, clock, tasks, journal, service loop."""
