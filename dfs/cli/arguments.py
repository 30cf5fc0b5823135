"""Command lines: how every program of dfs reads its arguments and ends.

Owns --help, --version, the checks of ports and addresses, and the way from an error to one line on standard error and an
exit code (the table in dfs/core/errors.py). Every main() of dfs/cli is `return run_program(NAME, lambda: ...)` around a parser made
by `make_parser`. Never reads configuration and builds nothing.
"""

from __future__ import annotations

import argparse
import os
import sys
import traceback
from collections.abc import Callable, Sequence
from typing import Final, NoReturn

import dfs
from dfs.core.errors import DfsError, ExitCode
from dfs.core.ids import ServerIndex
from dfs.core.limits import SERVERS_MAX, SERVERS_MIN
from dfs.core.start_errors import UsageError

PORT_MIN: Final = 1
PORT_MAX: Final = 65535
PREFIX: Final = "dfs:/"
"""Begins a path from the root of the file system, where else one below a mount is meant."""


class OneLineParser(argparse.ArgumentParser):
    """A parser that raises UsageError where argparse prints the usage and ends the process."""

    def error(self, message: str) -> NoReturn:
        """Raise UsageError: the usage as what was expected, `message` as what was got."""
        raise UsageError(expected=" ".join(self.format_usage().removeprefix("usage: ").split()), got=message)


def make_parser(program: str, summary: str, epilog: str = "") -> OneLineParser:
    """Return a parser with --help and --version; abbreviated options are refused so that new ones never change old scripts.

    Arguments: the program's name, one line on what it does, and what else --help should say.
    """
    parser = OneLineParser(
        prog=program,
        description=summary,
        epilog=epilog,
        allow_abbrev=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"{program} (dfs) {dfs.__version__}")
    return parser


def run_program(program: str, body: Callable[[], int]) -> int:
    """Return the exit code of `body`, or of the error that leaves it after telling it on standard error.

    An expected error is one line, `PROGRAM: what was expected, what was got`; anything else is a bug and shows its traceback.
    """
    try:
        code = body()
        sys.stdout.flush()  # here, where a reader that left can still be told from a bug
    except DfsError as error:
        from dfs.cli.end_report import report_end  # the way to the journal, which most commands never take

        report_end(program, error)
        return int(error.exit_code)
    except KeyboardInterrupt:
        print(f"{program}: interrupted", file=sys.stderr)
        return int(ExitCode.FAILED)
    except BrokenPipeError:
        # `| head` has read enough. Python would write the rest at exit and complain: there is nowhere to write it to.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return int(ExitCode.FAILED)
    except Exception as bug:  # noqa: BLE001 - the top of the program: a bug is shown whole, with the documented exit code
        from dfs.cli.end_report import report_bug

        traceback.print_exc()
        report_bug(program, bug)
        return int(ExitCode.FAILED)
    return code


def parse_port(text: str) -> int:
    """Return the TCP port that `text` names, 1 .. 65535; the `type=` of port arguments. Raises: UsageError."""
    if not (text.isascii() and text.isdigit() and len(text) <= len(str(PORT_MAX)) and PORT_MIN <= int(text) <= PORT_MAX):
        raise UsageError(expected=f"a port number from {PORT_MIN} to {PORT_MAX}", got=repr(text))
    return int(text)


def parse_index(text: str) -> ServerIndex:
    """Return the number of a data server that `text` names; the `type=` of INDEX arguments. Raises: UsageError."""
    if not (text.isascii() and text.isdigit() and len(text) <= len(str(SERVERS_MAX)) and int(text) < SERVERS_MAX):
        raise UsageError(expected="the number of a data server, counted from 0", got=repr(text))
    return ServerIndex(int(text))


def parse_address(text: str) -> str:
    """Return HOST:PORT as given, once both parts make sense; the `type=` of address arguments. Raises: UsageError."""
    host, colon, port = text.rpartition(":")
    if not colon or not host or any(character.isspace() for character in host):
        raise UsageError(expected="HOST:PORT", got=repr(text))
    return f"{host}:{parse_port(port)}"


def check_index(index: ServerIndex, count: int, servers: str) -> None:
    """Raise UsageError unless `index` is one of `count` data servers, which `servers` describes."""
    if index >= count:
        raise UsageError(expected=f"INDEX from 0 to {count - 1}, for {servers}", got=str(index))


def check_data_ports(ports: Sequence[int], *, meta_port: int | None = None) -> tuple[int, ...]:
    """Return the data servers' ports in order of index, once there are enough of them and no port is named twice (R3).

    `meta_port`: must differ from all of them, if given. Raises: UsageError.
    """
    if not SERVERS_MIN <= len(ports) <= SERVERS_MAX:
        raise UsageError(expected=f"{SERVERS_MIN} to {SERVERS_MAX} data servers' ports", got=str(len(ports)))
    seen = set() if meta_port is None else {meta_port}
    for port in ports:
        if port in seen:
            raise UsageError(expected="a different port for each server", got=f"{port} twice")
        seen.add(port)
    return tuple(ports)
