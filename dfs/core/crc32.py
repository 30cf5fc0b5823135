"""CRC-32 (IEEE 802.3, as in zlib and gzip), by ISA-L's instructions where the package isal is installed, by zlib where not.

Owns the choice between the two; both give the same sums. Every block's sum is computed three times on its way, for 512 bytes
each: that is where a third of zlib's time makes itself felt. Called wherever blocks, map pages and journals are summed.
"""

from __future__ import annotations

import importlib
import importlib.util
import zlib
from collections.abc import Callable
from typing import Any, Final

# An accelerator that Debian 12 does not have.
_fast: Any = importlib.import_module("isal.isal_zlib") if importlib.util.find_spec("isal") else None

crc32: Final[Callable[..., int]] = zlib.crc32 if _fast is None else _fast.crc32
"""crc32(data, start=0): the sum over `data`, going on from `start`."""
