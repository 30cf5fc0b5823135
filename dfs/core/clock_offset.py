"""How far another machine's clock is off ours, as far as one call can tell; pure.

The answer was made at some moment between our sending and our receiving it. A clock that shows a time in between may be right;
any other is off by at least the distance, however slow the network was or how long this process was stopped meanwhile.
"""

from __future__ import annotations

from typing import Final

CLOCK_OFF_S: Final = 2.0
"""Differences from here on are told; smaller ones harm nothing but the comparison of times of files."""
_NS_PER_S: Final = 1e9


def clock_offset_s(sent_ns: int, answered_ns: int, received_ns: int) -> float:
    """Return by how many seconds at least the other clock is ahead of ours (negative: behind); 0 if it may be right.

    Arguments: our wall time when the call was sent, theirs when they answered, ours when the answer was here.
    """
    if answered_ns > received_ns:
        return (answered_ns - received_ns) / _NS_PER_S
    return min(0, answered_ns - sent_ns) / _NS_PER_S
