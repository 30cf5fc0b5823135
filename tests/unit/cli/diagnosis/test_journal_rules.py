"""Goal: an event in the journal is a finding as long as nothing later takes it back, and is explained by its cause.
Method: journals made up of the events themselves.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from dfs.cli.diagnosis.findings import Finding, Harm, exit_code
from dfs.cli.diagnosis.journal_rules import RULES, judge_journal
from dfs.cli.diagnosis.judging import diagnose
from dfs.cli.diagnosis.observations import Entry, Observations, Unit
from dfs.core.events.catalogue import ALL_KINDS
from dfs.core.events.data_server import CORRUPT_RECORD, NO_NEW_BLOCKS, SCRUB_FINISHED
from dfs.core.events.event import EventKind, Level
from dfs.core.events.meta_server import META_DISK_FULL, META_ROLLED_BACK, MOUNT_CRASHED
from dfs.core.events.mount import META_WAITS, WRITE_GOES_ON, WRITE_WAITS
from dfs.core.events.programs import CONFIG_REFUSED, CONFIG_RELOADED, PORT_TAKEN, SERVICE_READY, SERVICE_STOPPED
from tests.unit.cli.diagnosis.test_cluster_rules import away, seen

MOUNT, DATA1, META = "dfs-mount@mnt-dfs.service", "dfs-data@1.service", "dfs-meta.service"


def entry(kind: EventKind, unit: str, at_s: float = 0.0, **fields: object) -> Entry:
    named = {f"DFS_{name.upper()}": str(value) for name, value in fields.items()}
    return Entry(1_700_000_000 + at_s, unit, kind.message_id, f"{kind.name} happened", named)


def situations(*entries: Entry) -> list[str]:
    return [finding.situation for finding in judge_journal(entries)]


def test_every_error_stands_for_a_situation() -> None:
    known = {rule.kind.name for rule in RULES}
    assert {kind.name for kind in ALL_KINDS if kind.level >= Level.ERROR} - known == set()


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.kind.name)
def test_event_is_a_finding_with_its_evidence_and_the_line_that_explains_it(rule: object) -> None:
    kind = rule.kind  # type: ignore[attr-defined]
    (found,) = judge_journal([entry(kind, DATA1, server=1, path="/mnt/x")])
    assert found.cures[-1] == f"journalctl -x MESSAGE_ID={kind.message_id} -n 1"
    assert found.evidence[0].startswith("journal of dfs-data@1.service, 2023-11-14 22:13:20 UTC: ")
    assert not any("@DFS" in cure for cure in found.cures)


def test_wait_that_ended_is_no_finding_but_that_for_another_server_goes_on() -> None:
    begun = [entry(WRITE_WAITS, MOUNT, server=1), entry(WRITE_WAITS, MOUNT, server=2)]
    over = entry(WRITE_GOES_ON, MOUNT, 5, server=1)
    assert situations(*begun) == ["write-stalled", "write-stalled"]
    (left,) = judge_journal([*begun, over])
    assert left.subject == "data server 2"
    assert situations(*begun, entry(SERVICE_STOPPED, MOUNT, 6)) == []
    assert situations(*begun, entry(WRITE_GOES_ON, "dfs-mount@other.service", 5, server=1)) == ["write-stalled"] * 2


def test_failed_start_is_over_when_the_same_unit_is_ready() -> None:
    failed = entry(PORT_TAKEN, DATA1)
    assert situations(failed, entry(SERVICE_READY, META, 1)) == ["port-taken"]
    assert situations(failed, entry(SERVICE_READY, DATA1, 1)) == []
    assert situations(failed, entry(SERVICE_READY, DATA1, 1), entry(PORT_TAKEN, DATA1, 2)) == ["port-taken"]


def test_configuration_that_was_refused_is_over_when_it_was_read() -> None:
    refused = entry(CONFIG_REFUSED, META)
    assert situations(refused) == ["config-wrong"]
    assert situations(refused, entry(CONFIG_RELOADED, META, 1)) == []
    assert [finding.harm for finding in ranked(refused, cluster=seen())] == [Harm.SOON]


def test_damage_is_over_when_a_scrub_found_none() -> None:
    damage = entry(CORRUPT_RECORD, DATA1, server=1)
    assert situations(damage, entry(SCRUB_FINISHED, DATA1, 1, server=1, damaged=2)) == ["blocks-corrupt"]
    assert situations(damage, entry(SCRUB_FINISHED, DATA1, 1, server=1, damaged=0)) == []
    (found,) = judge_journal([damage] * 7)
    assert "it was told 7 times within a day" in found.evidence
    assert "dfsctl scrub --server 1 --wait" in found.cures


def test_errors_that_are_no_events_are_shown_as_notes() -> None:
    (found,) = judge_journal([Entry(1.0, META, "", f"a request failed {number}\nTraceback", {}) for number in range(5)])
    assert (found.situation, found.harm) == ("errors-logged", Harm.NOTE)
    assert len(found.evidence) == 3
    assert found.evidence[-1].endswith("a request failed 4")


# --- together with what the servers answer ---------------------------------------------------------------------------------


def ranked(*entries: Entry, cluster: object = None, units: tuple[Unit, ...] = ()) -> tuple[Finding, ...]:
    return diagnose(Observations(cluster=cluster, units=units, entries=entries))  # type: ignore[arg-type]


def test_taken_port_explains_the_server_that_is_down_and_the_write_that_waits() -> None:
    unit = Unit(DATA1, "failed", "exit-code", 6, 0, "")
    told = (entry(PORT_TAKEN, DATA1, server=1), entry(WRITE_WAITS, MOUNT, 3, server=1))
    (found,) = ranked(*told, cluster=seen(away(1)), units=(unit,))
    assert (found.situation, found.subject, found.harm) == ("port-taken", "data server 1", Harm.WAITING)
    assert found.effects == ("server-down", "write-stalled")
    assert len(found.evidence) == 4


@pytest.mark.parametrize(
    "told",
    [
        entry(PORT_TAKEN, DATA1),
        entry(WRITE_WAITS, MOUNT, server=1),
        entry(META_WAITS, MOUNT),
        entry(NO_NEW_BLOCKS, DATA1, server=1),
        entry(META_ROLLED_BACK, META),
        entry(META_DISK_FULL, META),
    ],
    ids=lambda each: each.message,
)
def test_what_the_servers_show_to_be_over_is_a_note(told: Entry) -> None:
    assert [finding.harm for finding in ranked(told, cluster=seen())] == [Harm.NOTE]
    assert exit_code(ranked(told, cluster=seen())) == 0
    assert exit_code(ranked(told)) == 1


def test_crashed_mount_is_named_first_where_nothing_else_is_wrong() -> None:
    (found,) = ranked(entry(MOUNT_CRASHED, META, path="/mnt/dfs"), cluster=seen())
    assert (found.situation, found.subject) == ("client-crashed", "mount /mnt/dfs")


def test_disk_that_is_full_is_one_finding_with_both_witnesses() -> None:
    full = seen(away(3), state="disk full: 5 bytes free")
    found = [each for each in ranked(entry(META_DISK_FULL, META), cluster=full) if each.situation == "disk-full"]
    assert [len(each.evidence) for each in found] == [2]


def test_documentation_explains_every_situation_of_the_journal() -> None:
    text = (Path(__file__).resolve().parents[4] / "docs" / "journal.md").read_text()
    others = {"peer-missing", "program-failed", "lease-lost", "scrub-late", "bug", "config-needs-restart"}
    assert {rule.situation for rule in RULES if f"`{rule.situation}`" not in text} <= others
