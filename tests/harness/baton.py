"""The scheduler of the simulator: every task is a thread, and only the one that holds the baton runs.

Owns simulated time, the choice of who runs next, processes and their death, and the trace. Promises: a seed gives the same run
every time, for nothing here depends on real time, on real chance or on which thread is quicker; time passes only when every task
waits; a killed process's tasks are unwound at the point where they wait, before anybody else runs. Used by the simulated tasks,
network and disks beside this module. Knows nothing of file systems.

The baton is handed on where a task waits: for a time, a message, a lock, a signal, a sync. `Baton.preempt` adds hand-overs where a
free mutex is taken: there threads of a real process lose their turn too.
"""

from __future__ import annotations

import hashlib
import heapq
import random
import sys
import threading
import traceback
from collections import deque
from collections.abc import Callable
from typing import Final

from tests.harness.memory_disk import Killed

SWITCHES_MAX: Final = 2_000_000
"""A run that takes more is turning in circles."""
TRACE_LINES_KEPT: Final = 400


class Stuck(Exception):
    """Every task waits for something that nobody will bring."""


class Process:
    """What dies together. `is_paused`: its tasks get no turn, as after SIGSTOP."""

    def __init__(self, baton: Baton, name: str) -> None:
        self.baton = baton
        self.name = name
        self.is_alive = True
        self.is_paused = False
        self.tasks: dict[int, SimulatedTask] = {}
        self.held_back: list[SimulatedTask] = []
        """Tasks that could run but for the pause."""
        self.turns_left = 0
        """Turns of its tasks until `alarmed` is woken instead; 0: it is not."""
        self.alarmed: SimulatedTask | None = None
        self.at_death: list[Callable[[], None]] = []
        """What the kernel does when a process ends: closes files and connections."""

    def __repr__(self) -> str:
        return self.name


class SimulatedTask:
    """One task, and the thread that lends itself to it once it has begun."""

    __slots__ = ("error", "function", "is_over", "is_waiting", "joiners", "name", "number", "process", "thread", "wait_no")

    def __init__(self, process: Process, name: str, function: Callable[[], None], number: int) -> None:
        self.process = process
        self.name = name
        self.function = function
        self.number = number
        self.thread: _Thread | None = None
        self.is_waiting = False
        self.is_over = False
        self.wait_no = 0
        """Counts waits, so that the timer of an earlier one wakes nobody."""
        self.joiners: list[SimulatedTask] = []
        self.error: BaseException | None = None

    def join(self, timeout_s: float | None = None) -> bool:
        """Wait for its end; tell whether it has ended."""
        baton = self.process.baton
        until_s = None if timeout_s is None else baton.now_s + timeout_s
        while not self.is_over and (until_s is None or baton.now_s < until_s):
            self.joiners.append(baton.current)
            baton.wait(until_s)
        return self.is_over

    def __repr__(self) -> str:
        return f"{self.process.name}/{self.name}"


class _Thread:
    """A thread that runs one task after the other, and holds still in between."""

    def __init__(self) -> None:
        self.turn = threading.Lock()
        self.turn.acquire()
        self.work: Callable[[_Thread], None] | None = None
        self.thread = threading.Thread(target=self._run, name="simulated", daemon=True)
        self.thread.start()

    def _run(self) -> None:
        while True:
            self.turn.acquire()
            work, self.work = self.work, None
            if work is None:
                return
            work(self)


class Crew:
    """Threads, kept from run to run because starting one costs more than most tasks do."""

    def __init__(self) -> None:
        self._idle: list[_Thread] = []

    def take(self) -> _Thread:
        """Return an idle thread."""
        return self._idle.pop() if self._idle else _Thread()

    def give_back(self, thread: _Thread) -> None:
        """Keep a thread whose task is over."""
        self._idle.append(thread)

    def dismiss(self) -> None:
        """Let all idle threads end."""
        while self._idle:
            thread = self._idle.pop()
            thread.work = None
            thread.turn.release()


class Baton:
    """One run. Only what holds the baton may call; `current` is the task that does."""

    def __init__(self, seed: int | str, crew: Crew) -> None:
        self.now_s = 0.0
        self.preempt = 0.0
        """Chance of losing the turn where a free mutex is taken."""
        self.is_polling = False
        """Somebody asks, on a waiting task's behalf and on whatever thread, whether that still wants to wait."""
        self.switches = 0
        self.bugs: list[str] = []
        """Tasks that died of an exception: what ends a real process."""
        self.trace: deque[str] = deque(maxlen=TRACE_LINES_KEPT)
        self._crew = crew
        self._chance = random.Random(f"{seed}/schedule")
        self._choose_index = self._chance.random
        self._hash = hashlib.blake2b(digest_size=16)
        self._runnable: list[SimulatedTask] = []
        self._urgent: deque[SimulatedTask] = deque()
        self._timers: list[tuple[float, int, SimulatedTask | Callable[[], None], int]] = []
        self._timer_no = 0
        self._task_no = 0
        self._main: SimulatedTask | None = None
        self._failure: BaseException | None = None
        self._all_over = threading.Lock()
        self.world = Process(self, "world")
        self.processes: list[Process] = [self.world]

    # --- the run -------------------------------------------------------------------------------------------------------------

    def run(self, function: Callable[[], None]) -> None:
        """Run `function` as the first task, until it returns; then every process is killed. Raises: what it raises; Stuck."""

        def main() -> None:
            try:
                function()
            finally:
                self._failure = None
                for process in list(self.processes):
                    if process is not self.world:
                        self.kill(process)

        self._all_over.acquire()
        self._main = self._new_task(self.world, "main", main)
        self._runnable.append(self._main)
        self._start_next(self._choose())
        self._all_over.acquire()
        self._all_over.release()
        if self._main.error is not None:
            raise self._main.error

    def trace_hash(self) -> str:
        """Return what tells two runs apart: a hash over all that was noted."""
        return self._hash.copy().hexdigest()

    def note(self, text: str) -> None:
        """Write a line into the trace."""
        line = f"{self.now_s:.6f} {text}"
        self._hash.update(line.encode())
        self.trace.append(line)

    # --- tasks and processes -------------------------------------------------------------------------------------------------

    def process(self, name: str) -> Process:
        """Begin a process."""
        process = Process(self, name)
        self.processes.append(process)
        return process

    def spawn(self, process: Process, name: str, function: Callable[[], None]) -> SimulatedTask:
        """Begin a task. In a process that is dead it never runs."""
        task = self._new_task(process, name, function)
        self._runnable.append(task)
        return task

    def kill(self, process: Process) -> None:
        """End a process as SIGKILL does: its tasks are unwound where they wait, and have no effect on anything any more."""
        process.is_alive = False
        me = self.current
        for task in sorted(process.tasks.values(), key=lambda task: task.number):
            if task is me:
                continue
            task.is_waiting = False
            task.wait_no += 1
            if task.thread is None:
                self._end(task)
            else:
                self._urgent.append(task)
        self._runnable = [task for task in self._runnable if task.process is not process]
        process.held_back.clear()
        if self._urgent:
            me.wait_no += 1
            self._urgent.append(me)
            self._hand_on()
        for action in process.at_death:
            action()
        process.at_death.clear()
        self.processes.remove(process)
        if me.process is process:
            raise Killed(process.name)

    def pause(self, process: Process) -> None:
        """Do what SIGSTOP does."""
        process.is_paused = True

    def resume(self, process: Process) -> None:
        """Do what SIGCONT does."""
        process.is_paused = False
        held, process.held_back = process.held_back, []
        self._runnable.extend(held)

    # --- waiting -------------------------------------------------------------------------------------------------------------

    def wait(self, until_s: float | None) -> None:
        """Let others run until somebody calls ready() for this task, or until a time. Raises: Killed."""
        task = self.current
        if not task.process.is_alive:
            raise Killed(task.process.name)
        task.wait_no += 1
        task.is_waiting = True
        if until_s is not None:
            self._timer_no += 1
            heapq.heappush(self._timers, (until_s, self._timer_no, task, task.wait_no))
        self._hand_on()
        if not task.process.is_alive:
            raise Killed(task.process.name)
        if task is self._main and self._failure is not None:
            failure, self._failure = self._failure, None
            raise failure

    def wait_polling(self, until_s: float, is_over: Callable[[], bool], poll_s: float) -> None:
        """Do what wait() does; wait no longer once `is_over`, which is asked every poll_s at no cost of a turn. Raises: Killed."""
        task = self.current
        wait_no = task.wait_no + 1

        def poll() -> None:
            if not task.is_waiting or task.wait_no != wait_no:
                return
            self.is_polling = True
            try:
                is_enough = not task.process.is_paused and is_over()
            finally:
                self.is_polling = False
            if is_enough:
                self.ready(task)
            else:
                self.at(self.now_s + poll_s, poll)

        self.at(self.now_s + poll_s, poll)
        self.wait(until_s)

    def sleep(self, duration_s: float) -> None:
        """Let time pass. Raises: Killed."""
        until_s = self.now_s + duration_s
        self.wait(until_s)
        while self.now_s < until_s:
            self.wait(until_s)

    def pass_on(self) -> None:
        """Let others run, if the choice falls on them. Raises: Killed."""
        task = self.current
        if not task.process.is_alive:
            raise Killed(task.process.name)
        task.wait_no += 1
        self._runnable.append(task)
        self._hand_on()
        if not task.process.is_alive:
            raise Killed(task.process.name)

    def wait_for_turn(self, process: Process, turns: int, timeout_s: float) -> None:
        """Wait until the so-manieth next turn of a process is about to begin: its tasks then stand at any of their yield points."""
        process.turns_left, process.alarmed = turns, self.current
        self.wait(self.now_s + timeout_s)
        process.turns_left = 0

    def ready(self, task: SimulatedTask) -> None:
        """Wake a task that waits."""
        if task.is_waiting:
            task.is_waiting = False
            self._runnable.append(task)

    def at(self, time_s: float, action: Callable[[], None]) -> None:
        """Have something done at a time, by nobody in particular: it must not wait."""
        self._timer_no += 1
        heapq.heappush(self._timers, (max(time_s, self.now_s), self._timer_no, action, 0))

    def loses_turn(self) -> bool:
        """Tell whether the current task loses its turn where a real thread might; `preempt` says how often."""
        return self._choose_index() < self.preempt and self.current.process.is_alive

    # --- inside --------------------------------------------------------------------------------------------------------------

    def _new_task(self, process: Process, name: str, function: Callable[[], None]) -> SimulatedTask:
        self._task_no += 1
        task = SimulatedTask(process, name, function, self._task_no)
        if process.is_alive:
            process.tasks[task.number] = task
        return task

    def _hand_on(self) -> None:
        """Give the baton to whoever is next, and wait for it to come back."""
        me = self.current
        task = self._choose()
        if task is not me:
            thread = me.thread
            assert thread is not None
            self._start_next(task)
            thread.turn.acquire()

    def _start_next(self, task: SimulatedTask) -> None:
        self.current = task
        thread = task.thread
        if thread is None:
            thread = task.thread = self._crew.take()
            thread.work = self._carry_out
        thread.turn.release()

    def _carry_out(self, thread: _Thread) -> None:
        """Run the current task to its end, on its thread."""
        task = self.current
        try:
            task.function()
        except Killed:
            pass
        except BaseException as error:  # noqa: BLE001 (a bug of the code under test, or the failure of the whole run)
            task.error = error
            if task is not self._main and task.process.is_alive:  # what a dying task meets on its way is nobody's business
                where = "".join(traceback.format_exception(error)[-3:]).strip()
                self.bugs.append(f"{task}: {error!r}: {where}")
                self._fail(error)
        self._end(task)
        if task is self._main:
            self._crew.give_back(thread)
            self._all_over.release()
            return
        following = self._choose()
        self._crew.give_back(thread)
        self._start_next(following)

    def _end(self, task: SimulatedTask) -> None:
        task.is_over = True
        task.process.tasks.pop(task.number, None)
        for joiner in task.joiners:
            self.ready(joiner)

    def _fail(self, error: BaseException) -> None:
        """Have the main task raise an error at its next turn."""
        main = self._main
        assert main is not None
        if self._failure is None:
            self._failure = error
        if main.is_waiting:
            main.is_waiting = False
            self._urgent.append(main)

    def _choose(self) -> SimulatedTask:
        """Return who runs next; lets time pass if everybody waits."""
        self.switches += 1
        if self.switches == SWITCHES_MAX:
            self._fail(Stuck(f"no end after {SWITCHES_MAX} switches"))
        while True:
            if self._urgent:
                return self._urgent.popleft()
            self._ring()
            runnable = self._runnable
            if runnable:
                at = int(self._choose_index() * len(runnable)) if len(runnable) > 1 else 0
                task = runnable[at]
                runnable[at] = runnable[-1]
                runnable.pop()
                process = task.process
                if process.is_paused:
                    process.held_back.append(task)
                    continue
                if process.turns_left:
                    process.turns_left -= 1
                    if not process.turns_left and process.alarmed is not None and process.alarmed.is_waiting:
                        runnable.append(task)
                        process.alarmed.is_waiting = False
                        return process.alarmed
                return task
            if not self._timers:
                self._fail(Stuck("everybody waits: " + ", ".join(self._waiting())))
                continue
            self.now_s = self._timers[0][0]

    def _ring(self) -> None:
        """Wake all whose time has come."""
        timers, now_s = self._timers, self.now_s
        while timers and timers[0][0] <= now_s:
            _, _, entry, wait_no = heapq.heappop(timers)
            if not isinstance(entry, SimulatedTask):
                entry()
            elif entry.is_waiting and entry.wait_no == wait_no:
                entry.is_waiting = False
                self._runnable.append(entry)

    def where(self) -> list[str]:
        """Return for people where every task stands, the innermost calls first."""
        frames = sys._current_frames()
        lines = []
        for process in self.processes:
            for task in process.tasks.values():
                frame = None if task.thread is None else frames.get(task.thread.thread.ident or 0)
                calls = [] if frame is None else traceback.extract_stack(frame)[::-1]
                shown = [
                    f"{call.name} {call.filename.rpartition('/')[2]}:{call.lineno}" for call in calls if "/dfs/" in call.filename
                ]
                lines.append(f"{task}: {' < '.join(shown[:8])}")
        return lines

    def _waiting(self) -> list[str]:
        return [repr(task) for process in self.processes for task in process.tasks.values() if task.is_waiting]
