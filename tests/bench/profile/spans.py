"""Timing of functions in a running program: wraps them, keeps for each step how often, how long and how many bytes.

Times are of the wall clock and of the calling thread's processor time, both with what nested spans took and without. Kept per
thread, so that measuring takes no lock; the spans of threads that ended count, too.
"""

from __future__ import annotations

import functools
import importlib
import sys
import threading
import time
from collections.abc import Callable, Iterable
from typing import Any

from tests.bench.profile.steps import Step


class Spans:
    """All spans of a process."""

    def __init__(self) -> None:
        self._mutex = threading.Lock()
        self._local = threading.local()
        self._threads: list[_Thread] = []

    def reset(self) -> None:
        """Forget what was measured."""
        with self._mutex:
            for thread in self._threads:
                thread.done = {}

    def plain(self) -> dict[str, list[tuple[float, float, float, float, int]]]:
        """Return per label a tuple of each span: wall, own wall, processor, own processor, all in us, and bytes."""
        found: dict[str, list[tuple[float, float, float, float, int]]] = {}
        with self._mutex:
            for thread in self._threads:
                for label, spans in list(thread.done.items()):
                    found.setdefault(label, []).extend(spans)
        return found

    def wrap(self, step: Step, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return the function, timed."""
        name, kind, size = step.name, step.kind, step.size
        wall_ns, cpu_ns = time.perf_counter_ns, time.thread_time_ns

        @functools.wraps(function)
        def timed(*arguments: Any, **named: Any) -> Any:
            thread = self._thread()
            label = name if kind is None else f"{name} {kind(arguments)}"
            inner = [0, 0]
            thread.open.append(inner)
            size_bytes = 0
            begun = wall_ns(), cpu_ns()
            try:
                result = function(*arguments, **named)
                if size is not None:
                    size_bytes = size(arguments, result)
                return result
            finally:
                cpu, wall = cpu_ns() - begun[1], wall_ns() - begun[0]
                thread.open.pop()
                if thread.open:
                    thread.open[-1][0] += wall
                    thread.open[-1][1] += cpu
                span = (wall / 1000, (wall - inner[0]) / 1000, cpu / 1000, (cpu - inner[1]) / 1000, size_bytes)
                thread.done.setdefault(label, []).append(span)

        return timed

    def _thread(self) -> _Thread:
        thread: _Thread | None = getattr(self._local, "thread", None)
        if thread is None:
            thread = self._local.thread = _Thread()
            with self._mutex:
                self._threads.append(thread)
        return thread


class _Thread:
    """What one thread measures."""

    def __init__(self) -> None:
        self.open: list[list[int]] = []
        """Of each span under way what nested ones took: wall and processor, in ns."""
        self.done: dict[str, list[tuple[float, float, float, float, int]]] = {}


def install(spans: Spans, steps: Iterable[Step]) -> None:
    """Time the functions of the steps wherever they are used. Raises: AttributeError if one is not there any more."""
    for step in steps:
        module_name, _, path = step.function.partition(":")
        owner: Any = importlib.import_module(module_name)
        *classes, name = path.split(".")
        for part in classes:
            owner = getattr(owner, part)
        function = getattr(owner, name)
        timed = spans.wrap(step, function)
        setattr(owner, name, timed)
        if not classes:
            _replace_imported(function, timed)


def _replace_imported(function: object, timed: object) -> None:
    """Replace a function in the modules that imported it by name."""
    for module in list(sys.modules.values()):
        for name, value in list(getattr(module, "__dict__", {}).items()):
            if value is function:
                setattr(module, name, timed)
