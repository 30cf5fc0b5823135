"""Why a program cannot start or a command cannot be carried out: each with what was expected, what was got, and its exit status."""

from __future__ import annotations

from dataclasses import dataclass

from dfs.core.errors import DfsError, ExitCode


@dataclass(eq=False)
class StartError(DfsError):
    """What a program ends with. `expected` and `got` make its one line on standard error."""

    expected: str
    got: str
    template = "expected {expected}, got {got}"


class UsageError(StartError):
    """Wrong arguments."""

    exit_code = ExitCode.USAGE


@dataclass(eq=False)
class ConfigError(StartError):
    """Wrong configuration."""

    where: str = ""
    """FILE: [section] key, as far as known; begins the message."""
    exit_code = ExitCode.CONFIGURATION

    def __str__(self) -> str:
        """Return the message for people: where, what was expected, what was got."""
        message = super().__str__()
        return f"{self.where}: {message}" if self.where else message


class StateError(StartError):
    """The state folder is unusable, in use, or belongs to something else."""

    exit_code = ExitCode.STATE


class NotMounted(StateError):
    """No disk is mounted where the state folder should be one."""


class TooNew(StateError):
    """The state was written by a newer release."""


class PeerStartError(StartError):
    """A peer that is needed to start is not there or refuses."""

    exit_code = ExitCode.PEER


class AddressInUse(StartError):
    """Another process listens there."""

    exit_code = ExitCode.ADDRESS_IN_USE


class MissingPackage(StartError):
    """An optional package that this command needs is not installed."""


class MountPointError(StartError):
    """The mount point cannot be used."""

    exit_code = ExitCode.MOUNT_POINT
