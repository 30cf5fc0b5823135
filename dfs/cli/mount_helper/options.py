"""The options of a mount, as they stand in fstab and behind `mount -o`: what each means, and which are not ours to mind (pure).

Promises: what is accepted has the effect that mount.dfs(8) says, or says there that it has none; anything else is refused with the
option's name. The last of two that contradict each other counts. Called by the mount helper and by dfs-mount.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, NamedTuple

from dfs.core.config_values import FuseChannel
from dfs.core.interfaces import NOBODY, Caller
from dfs.core.start_errors import UsageError

TIMEO_S: Final = 30.0
RETRY_S: Final = 10.0
DURATION_S_MAX: Final = 86_400.0
ID_MAX: Final = (1 << 32) - 2
"""The largest number of a user or group; the next one means "none" to chown(2)."""

KERNEL_PAIRS: Final = (
    ("ro", "rw"),
    ("nosuid", "suid"),
    ("nodev", "dev"),
    ("noexec", "exec"),
    ("sync", "async"),
    ("dirsync", ""),
    ("noatime", "atime"),
)
"""What the kernel minds, and its opposite; libfuse hands these on."""
_OPPOSITE: Final = {one: other for pair in KERNEL_PAIRS for one, other in (pair, pair[::-1]) if one}

_ACTED_UPON: Final = {"defaults", "auto", "noauto", "nofail", "fail", "_netdev", "loud", "silent"}
_ACTED_UPON_USERS: Final = {"user", "users", "nouser", "owner", "noowner", "group", "nogroup"}
_TIMES: Final = {"relatime", "norelatime", "strictatime", "nostrictatime", "diratime", "nodiratime", "lazytime", "nolazytime"}
FOR_OTHERS: Final = frozenset(_ACTED_UPON | _ACTED_UPON_USERS | _TIMES | {"iversion", "noiversion", "default_permissions"})
"""Options that mount(8) or systemd has acted upon already, that mean nothing to a file system that keeps its own times, or that
are always on.
"""
FOR_OTHERS_BEGIN: Final = ("x-", "X-", "comment=", "user=")

_DURATION: Final = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,9})?)(ms|s|min|h)?")
_UNIT_S: Final = {None: 1.0, "ms": 0.001, "s": 1.0, "min": 60.0, "h": 3600.0}


@dataclass(frozen=True, slots=True)
class MountWishes:
    """What the options of one mount ask for. None: as the configuration says."""

    flags: tuple[str, ...] = ()
    """The kernel's, in the order of KERNEL_PAIRS."""
    config: Path | None = None
    key_file: Path | None = None
    attr_timeout_s: float | None = None
    entry_timeout_s: float | None = None
    """How long names are believed; None: as long as attributes."""
    allow_other: bool | None = None
    is_soft: bool = False
    timeo_s: float | None = None
    """After how long an operation of a soft mount fails; None: TIMEO_S."""
    is_root_squashed: bool = False
    nobody: Caller = NOBODY
    """Who root is, if it is squashed."""
    retry_s: float | None = None
    """For how long the meta-server is tried before the mount fails; None: RETRY_S."""
    log_file: Path | None = None
    shows_metrics: bool | None = None
    fuse_channel: FuseChannel | None = None
    writes_back: bool | None = None

    @property
    def timeout_s(self) -> float | None:
        """After how long an operation ends with EIO; None: never."""
        return (TIMEO_S if self.timeo_s is None else self.timeo_s) if self.is_soft else None


class _Option(NamedTuple):
    expected: str
    """What follows the "="; empty: nothing may."""
    apply: Callable[[MountWishes, str], MountWishes]
    """Returns the wishes with this one; raises ValueError if the value is not as expected."""
    is_optional: bool = False
    """Whether the option may stand alone, without "="."""


def parse_options(words: Iterable[str], *, sloppy: bool = False) -> MountWishes:
    """Return what the options ask for.

    Arguments: the options, one each, without commas. `sloppy`: leave out those that nobody knows (mount -s).
    Raises: UsageError.
    """
    wishes = MountWishes()
    flags: set[str] = set()
    for word in words:
        name, equals, value = word.partition("=")
        if word in _OPPOSITE:
            flags = (flags - {_OPPOSITE[word]}) | {word}
        elif name in _OPTIONS:
            wishes = _apply(wishes, name, equals, value)
        elif not (is_known(word) or sloppy):
            raise UsageError(expected="an option that mount.dfs(8) names (or -s to leave out those it does not)", got=repr(word))
    if wishes.timeo_s is not None and not wishes.is_soft:
        raise UsageError(expected="soft beside timeo: a hard mount waits for ever", got="timeo alone")
    ordered = tuple(flag for pair in KERNEL_PAIRS for flag in pair if flag in flags)
    return replace(wishes, flags=ordered)


def split_options(text: str) -> list[str]:
    """Return the options in a list that is separated by commas."""
    return [word for word in text.split(",") if word]


def is_known(word: str) -> bool:
    """Tell whether an option is one that mount.dfs(8) names, or is not ours to mind."""
    return word in _OPPOSITE or word.partition("=")[0] in _OPTIONS or is_for_others(word)


def is_for_others(word: str) -> bool:
    """Tell whether an option is not ours to mind, and harmless."""
    return word in FOR_OTHERS or word.startswith(FOR_OTHERS_BEGIN)


def parse_duration_s(text: str) -> float:
    """Return a time in seconds: a number and s, ms, min or h; without a unit it is seconds. Raises: ValueError."""
    match = _DURATION.fullmatch(text)
    duration_s = float(match[1]) * _UNIT_S[match[2]] if match else -1.0
    if not 0 <= duration_s <= DURATION_S_MAX:
        raise ValueError(text)
    return duration_s


def _apply(wishes: MountWishes, name: str, equals: str, value: str) -> MountWishes:
    option = _OPTIONS[name]
    shown = f"{name}={value}" if equals else name
    if bool(equals) != bool(option.expected) and not (option.is_optional and not equals):
        raise UsageError(expected=f"{name}={option.expected}" if option.expected else name, got=repr(shown))
    try:
        return option.apply(wishes, value)
    except ValueError as error:
        raise UsageError(expected=f"{name}={option.expected}", got=repr(shown)) from error


def _positive_s(text: str) -> float:
    duration_s = parse_duration_s(text)
    if not duration_s:
        raise ValueError(text)
    return duration_s


def _parse_id(text: str) -> int:
    if not re.fullmatch(r"[0-9]{1,10}", text) or int(text) > ID_MAX:
        raise ValueError(text)
    return int(text)


def _parse_yes_no(text: str) -> bool:
    if text not in ("", "yes", "no"):
        raise ValueError(text)
    return text != "no"


def _parse_file(text: str) -> Path:
    if not text.startswith("/"):
        raise ValueError(text)
    return Path(text)


_TIME: Final = "a time such as 30s, 500ms or 1min"
_POSITIVE_TIME: Final = f"{_TIME}, more than nothing"
_ID: Final = f"a number from 0 to {ID_MAX}"
_FILE: Final = "the absolute path of a file"
_OPTIONS: Final[dict[str, _Option]] = {
    "config": _Option(_FILE, lambda wishes, value: replace(wishes, config=_parse_file(value))),
    "key_file": _Option(_FILE, lambda wishes, value: replace(wishes, key_file=_parse_file(value))),
    "attr_timeout": _Option(_TIME, lambda wishes, value: replace(wishes, attr_timeout_s=parse_duration_s(value))),
    "entry_timeout": _Option(_TIME, lambda wishes, value: replace(wishes, entry_timeout_s=parse_duration_s(value))),
    "allow_other": _Option("", lambda wishes, _: replace(wishes, allow_other=True)),
    "noallow_other": _Option("", lambda wishes, _: replace(wishes, allow_other=False)),
    "hard": _Option("", lambda wishes, _: replace(wishes, is_soft=False, timeo_s=None)),
    "soft": _Option("", lambda wishes, _: replace(wishes, is_soft=True)),
    "timeo": _Option(_POSITIVE_TIME, lambda wishes, value: replace(wishes, timeo_s=_positive_s(value))),
    "root_squash": _Option("", lambda wishes, _: replace(wishes, is_root_squashed=True)),
    "no_root_squash": _Option("", lambda wishes, _: replace(wishes, is_root_squashed=False)),
    "anonuid": _Option(_ID, lambda wishes, value: replace(wishes, nobody=Caller(_parse_id(value), wishes.nobody.gid))),
    "anongid": _Option(_ID, lambda wishes, value: replace(wishes, nobody=Caller(wishes.nobody.uid, _parse_id(value)))),
    "retry": _Option(_POSITIVE_TIME, lambda wishes, value: replace(wishes, retry_s=_positive_s(value))),
    "metrics": _Option("", lambda wishes, _: replace(wishes, shows_metrics=True)),
    "nometrics": _Option("", lambda wishes, _: replace(wishes, shows_metrics=False)),
    "fuse_channel": _Option("own or fusepy", lambda wishes, value: replace(wishes, fuse_channel=FuseChannel(value))),
    "writeback": _Option("yes or no", lambda wishes, value: replace(wishes, writes_back=_parse_yes_no(value)), is_optional=True),
    "nowriteback": _Option("", lambda wishes, _: replace(wishes, writes_back=False)),
    "log": _Option(_FILE, lambda wishes, value: replace(wishes, log_file=_parse_file(value))),
}
"""Our own options."""
