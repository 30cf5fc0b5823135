"""A program of dfs with its steps timed. Run as `python -m tests.bench.profile.watched SOCKET MODULE ARGUMENT...`.

On the Unix socket SOCKET each connection is a command: "reset" forgets what was measured, "show" answers it as JSON.
"""

from __future__ import annotations

import importlib
import json
import socket
import sys
import threading
from pathlib import Path
from typing import Any

from tests.bench.profile.spans import Spans, install
from tests.bench.profile.steps import STEPS


def main(socket_path: str, module_name: str, *arguments: str) -> int:
    """Run the program and return its exit status."""
    module = importlib.import_module(module_name)
    spans = Spans()
    install(spans, STEPS[module_name])
    listener = socket.socket(socket.AF_UNIX)
    Path(socket_path).unlink(missing_ok=True)  # of a run before
    listener.bind(socket_path)
    listener.listen()
    threading.Thread(target=_answer, args=(listener, spans), name="watched", daemon=True).start()
    sys.argv = [module_name, *arguments]
    status: int = module.main()
    return status


def ask(socket_path: Path, command: str) -> Any:
    """Send a command to a watched program and return its answer."""
    with socket.socket(socket.AF_UNIX) as sock:
        sock.connect(str(socket_path))
        sock.sendall(command.encode())
        sock.shutdown(socket.SHUT_WR)
        with sock.makefile("rb") as answer:
            return json.loads(answer.read())


def _answer(listener: socket.socket, spans: Spans) -> None:
    while True:
        connection, _ = listener.accept()
        with connection, connection.makefile("rwb") as stream:
            command = stream.read()
            if command == b"reset":
                spans.reset()
            stream.write(json.dumps(spans.plain() if command == b"show" else None).encode())


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
