"""Work beside the test: calls that are expected to wait, each on a thread of its own, with their outcome as a future."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any


def beside(work: Callable[[], Any]) -> Future[Any]:
    """Run `work` on a thread of its own, which does not hold up the end of the test run if it never ends."""
    future: Future[Any] = Future()

    def run() -> None:
        try:
            future.set_result(work())
        except BaseException as error:  # noqa: BLE001 (the test gets it)
            future.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    return future
