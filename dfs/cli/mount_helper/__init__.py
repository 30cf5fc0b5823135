"""Mounting as mount(8), fstab and systemd ask for it: options, sources, the helper and the generator."""
