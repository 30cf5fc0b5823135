"""Who a data server is and how it is, as requests and answers."""

from __future__ import annotations

from dataclasses import dataclass

from dfs.core.ids import ServerIndex
from dfs.core.messages.cluster import RoleState, Shape, Space
from dfs.core.messages.requests import Done, Request
from dfs.core.messages.scrub import NO_SCRUB, ScrubStatus


@dataclass(frozen=True, slots=True)
class Identity:
    """Who a data server is: its superblock."""

    shape: Shape
    """cluster = "" while blank."""
    index: ServerIndex
    disk: str
    """UUID of this state folder; a new one after the folder was lost."""
    primary: RoleState
    secondary: RoleState
    mark: int
    """The highest number mark that meta has told it."""
    doubts: int = 0
    """How often it began to take what cuts may have voided from a neighbour: because it became suspect, or to mend a copy below a
    floor. What it executed before may have been undone since.
    """


@dataclass(frozen=True, slots=True)
class DataStatus:
    """A data server as a tool sees it."""

    identity: Identity
    space: Space
    progress: str
    """How far a rebuild is, for people; empty when there is none."""
    trouble: str = ""
    """What is wrong with the server's disk or its blocks, for people; empty when nothing is."""
    scrub: ScrubStatus = NO_SCRUB
    wall_ns: int = 0
    """Its machine's wall time when it answered."""
    release: str = ""
    """The release of dfs that it is."""


@dataclass(frozen=True, slots=True)
class Identify(Request[Identity]):
    """Return who this server is."""


@dataclass(frozen=True, slots=True)
class PrepareFormat(Request[Identity]):
    """First phase of formatting: a blank server notes durably whose it will be. Repeating it is harmless.

    Faults: WrongServer (it belongs to another cluster, or is another index).
    """

    shape: Shape
    index: ServerIndex


@dataclass(frozen=True, slots=True)
class CommitFormat(Request[Identity]):
    """Second phase: all servers are prepared; from now on this one is complete in both roles. Repeating it is harmless."""

    cluster: str


@dataclass(frozen=True, slots=True)
class NoteMark(Request[Done]):
    """Remember durably that meta may issue numbers up to `mark`."""

    mark: int


@dataclass(frozen=True, slots=True)
class ShowData(Request[DataStatus]):
    """Return identity, space and progress."""
