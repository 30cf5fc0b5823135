"""Names in a state folder that more than one program knows."""

from typing import Final

STORE_NAME: Final = "meta.db"
"""The meta-server's database."""
