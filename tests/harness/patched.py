"""Programs of dfs as real processes with something about them changed: another constant, another clock, a journal in a file.

Used by tests of what a program tells the journal, and of what takes too long to wait for.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Final

JOURNALLED: Final = """
import json, os
from systemd import journal
def send(message, **fields):
    with open({file!r}, "a") as lines:
        lines.write(json.dumps({{"MESSAGE": message, **{{name: str(value) for name, value in fields.items()}}}}) + "\\n")
journal.send = send
status = os.fstat(2)
os.environ["JOURNAL_STREAM"] = f"{{status.st_dev}}:{{status.st_ino}}"
"""


def patched_command(prelude: str, module: str, *arguments: object) -> list[str]:
    """Return the command that runs `prelude`, then a module of dfs as a program."""
    words = [module, *(str(argument) for argument in arguments)]
    program = f"{prelude}\nimport sys\nsys.argv = {words!r}\nfrom {module} import main\nsys.exit(main())"
    return [sys.executable, "-c", program]


def journalled_command(journal: Path, module: str, *arguments: object) -> list[str]:
    """Return the command that runs a module of dfs as if systemd had started it; its journal is the file `journal`."""
    return patched_command(JOURNALLED.format(file=str(journal)), module, *arguments)


def read_journal(journal: Path) -> list[dict[str, str]]:
    """Return the entries of such a journal."""
    return [json.loads(line) for line in journal.read_text().splitlines()] if journal.exists() else []
