"""What the mount helper takes for systemctl and journalctl: `python -m tests.harness.fake_systemd FOLDER systemctl start -- UNIT`.

`start` runs the command of dfs-mount@.service for the unit's instance and returns when that says READY, or has ended; `stop` is
only noted. What was asked for stands in FOLDER/asked, what the client said in FOLDER/journal; journalctl shows its last line.
"""

from __future__ import annotations

import os
import re
import shlex
import socket
import subprocess
import sys
from pathlib import Path

UNITS = Path(__file__).resolve().parents[2] / "packaging" / "systemd"
TIMEOUT_S = 30.0


def main(folder: Path, program: str, arguments: list[str]) -> int:
    journal = folder / "journal"
    if program == "journalctl":
        print(journal.read_text().splitlines()[-1])
        return 0
    verb, _, unit = arguments
    with (folder / "asked").open("a") as asked:
        asked.write(f"{verb} {unit}\n")
    return start(unit, folder, journal) if verb == "start" else 0


def start(unit: str, folder: Path, journal: Path) -> int:
    """Start a client and wait until it is ready; return 1 if it ends before."""
    point = b"/" + unescape(unit.removeprefix("dfs-mount@").removesuffix(".service"))
    (line,) = re.findall(r"^ExecStart=/usr/bin/dfs-mount (.*)$", (UNITS / "dfs-mount@.service").read_text(), re.MULTILINE)
    words = [point if word == "%f" else word.encode() for word in shlex.split(line)]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notified, journal.open("ab") as output:
        notified.bind(str(folder / "notify"))
        notified.settimeout(0.1)
        environment = os.environ | {"NOTIFY_SOCKET": str(folder / "notify")}
        command = [sys.executable.encode(), b"-m", b"dfs.cli.mount", *words]
        client = subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=output)
        try:
            while client.poll() is None:
                try:
                    if b"READY=1" in notified.recv(4096):
                        return 0
                except TimeoutError:
                    continue
            return 1
        finally:
            os.unlink(folder / "notify")


def unescape(instance: str) -> bytes:
    """Return the path, without its first slash, that systemd makes of an instance's name."""
    text = instance.encode().replace(b"-", b"/")
    return re.sub(rb"\\x([0-9a-f]{2})", lambda match: bytes([int(match[1], 16)]), text)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2], sys.argv[3:]))
