"""Where the time of one line of the bench goes, over all processes; `make profile LINE=create` runs it."""
