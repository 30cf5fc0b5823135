"""Delaying a shutdown of this machine while it has the only good copy of something."""
