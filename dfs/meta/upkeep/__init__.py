"""What the meta-server does of its own accord: making a file system, cleaning, settling, reclaiming, snapshots, marks."""
