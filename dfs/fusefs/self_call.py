"""A question that goes the way of every program's question: through the kernel, libfuse and the client service, but to no server.

Owns the extended attribute that is the question: whoever has it read knows that the mount works, whatever the cluster does. A
process of its own reads it, because one that serves a mount and waits for itself could not even be killed. Called by mounting.py;
answered by operations.py.
"""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Final

ALIVE: Final = b"system.dfs.alive"
_READ: Final = "import os, sys; os.getxattr(sys.argv[1], sys.argv[2])"


def ask(point: bytes, timeout_s: float) -> bool:
    """Tell whether what is mounted at `point` answers within `timeout_s` seconds."""
    command = [os.fsencode(sys.executable), b"-I", b"-S", b"-c", _READ.encode(), point, ALIVE]
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        return process.wait(timeout_s) == 0
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()  # as long as the kernel waits for the answer: no further question is asked meanwhile
        return False
