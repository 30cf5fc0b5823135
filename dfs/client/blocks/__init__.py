"""The way to the data servers: which copies are right, reading, replicating, repairing, and waiting for who is away."""
