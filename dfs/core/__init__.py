"""Pure rules and data: no sockets, files, threads, clock, randomness or logging."""
