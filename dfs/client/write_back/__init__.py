"""Writes that are answered before the servers have them: buffers, their limits, and how and when they are stored."""
