"""Goal: whatever is put, cut, dropped and killed in whatever order, the server answers what a dictionary would.

Method: Hypothesis draws histories for one server on a disk in memory, killed or struck by a power cut between any two steps or in
the middle of the last one.
"""

from __future__ import annotations

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from dfs.core.placement import Role
from tests.unit.data.history import BLOCK, FAR, INOS, STARTS, History, Step
from tests.unit.data.one_server import P, S

QUICK = settings(max_examples=120, suppress_health_check=[HealthCheck.too_slow])


@st.composite
def puts(draw: st.DrawFn) -> tuple[str, int, Role, int, int, int]:
    return (
        "put",
        draw(st.sampled_from(INOS)),
        draw(st.sampled_from((P, S))),
        draw(st.sampled_from(STARTS)),
        draw(st.sampled_from((1, 2, 3, 8, 9))),
        draw(st.sampled_from((1, 100, BLOCK))),
    )


def with_cut(name: str) -> st.SearchStrategy[tuple[str, int, int]]:
    return st.tuples(st.just(name), st.sampled_from(INOS), st.sampled_from((0, 700, 2048, FAR * BLOCK, FAR * BLOCK + 5)))


def on_inode(*names: str) -> st.SearchStrategy[tuple[str, int]]:
    return st.tuples(st.sampled_from(names), st.sampled_from(INOS))


STEPS = st.one_of(
    puts(),
    puts(),
    with_cut("clean"),
    with_cut("look"),
    on_inode("drop", "sync", "fence"),
    st.tuples(st.sampled_from(("checkpoint", "tick", "tick", "kill", "restart"))),
)
LIVELY = st.lists(STEPS, max_size=25)


@QUICK
@given(LIVELY)
def test_server_with_any_history_of_calls_and_kills_answers_what_was_acknowledged(steps: list[Step]) -> None:
    history = History()
    for step in steps:
        history.run(step)
    for ino in INOS:
        history.check(ino)
    history.check_floors()
    history.run(("kill",))
    for ino in INOS:
        history.check(ino)
    history.check_floors()
    history.check_no_damage()


@QUICK
@given(LIVELY, st.lists(st.booleans(), max_size=60))
@example(  # blocks were cleaned, then written again in place: the map page survived, the record under it did not
    [
        ("put", 5, Role.PRIMARY, 0, 1, 1),
        ("put", 5, Role.PRIMARY, 3836, 8, 1),
        ("clean", 5, 1966085),
        ("clean", 5, 1966085),
        ("put", 5, Role.PRIMARY, 0, 1, 1),
        ("put", 5, Role.PRIMARY, 3836, 8, 1),
        ("clean", 4097, 0),
    ],
    [False, False, False, False, True, False, False],
)
def test_server_after_a_power_cut_has_what_was_synced_and_nothing_that_was_gone(steps: list[Step], choices: list[bool]) -> None:
    history = History()
    for step in steps:
        history.run(step)
    left = iter(choices)
    history.disk.power_cut(lambda: next(left, True))
    history.server.reboot()
    history.check_after_power_cut()
    history.check_floors()
    history.check_no_damage()


@QUICK
@given(LIVELY, STEPS, st.integers(0, 12))
def test_server_killed_in_the_middle_of_a_step_has_each_block_old_or_new(steps: list[Step], last: Step, operations: int) -> None:
    history = History()
    for step in steps:
        history.run(step)
    history.run_killed(last, operations)
    history.server.kill()
    history.check_after_kill()
    history.check_no_damage()


@QUICK
@given(LIVELY, STEPS, st.integers(0, 12), st.lists(st.booleans(), max_size=60))
def test_server_struck_by_a_power_cut_in_the_middle_of_a_step_keeps_what_was_synced(
    steps: list[Step], last: Step, operations: int, choices: list[bool]
) -> None:
    history = History()
    for step in steps:
        history.run(step)
    history.run_killed(last, operations)
    left = iter(choices)
    history.disk.power_cut(lambda: next(left, True))
    history.server.reboot()
    history.check_after_power_cut()
    history.check_no_damage()
