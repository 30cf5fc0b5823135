"""What the meta-server knows: its tables on disk and who holds what at this moment, and the rules that keep both true."""
