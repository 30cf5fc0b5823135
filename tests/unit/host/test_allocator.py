"""Freed memory is kept: a process that told the allocator so makes no page faults for buffers that it needs again and again.

In a process of its own, because the setting is for the life of a process; on a thread, because those have heaps of their own.
"""

from __future__ import annotations

import subprocess
import sys

ROUNDS = 50
PROGRAM = f"""
import resource, sys, threading
if sys.argv[1] == "kept":
    from dfs.host.allocator import keep_freed_memory
    keep_freed_memory()
def work():
    for count in range({ROUNDS} + 10):
        if count == 10:
            begin = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        parts = [b"x" * (1 << 20) for _ in range(4)]
        del parts
    print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - begin)
thread = threading.Thread(target=work)
thread.start()
thread.join()
"""


def faults(mode: str) -> int:
    return int(subprocess.run([sys.executable, "-c", PROGRAM, mode], check=True, capture_output=True, text=True).stdout)


def test_buffers_after_keep_freed_memory_cost_no_page_faults() -> None:
    assert faults("kept") < ROUNDS < faults("as it is")
