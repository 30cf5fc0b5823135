"""The arguments of `dfsctl tls` and what each command prints. The work is dfs/cli/tls/folder.py's.

`show` needs nothing but the standard library; the others need the package cryptography, and say so where it is missing.
"""

from __future__ import annotations

import argparse
import ipaddress
from pathlib import Path
from types import ModuleType
from typing import Final

from dfs.cli.arguments import OneLineParser
from dfs.cli.configuration import add_config_option, read_config
from dfs.core.certificates import Unreadable, Urgency, read_certificate
from dfs.core.config import Config
from dfs.core.config_values import is_host, parse_name
from dfs.core.errors import ExitCode
from dfs.core.start_errors import ConfigError, MissingPackage, UsageError
from dfs.core.unfit import Unfit
from dfs.host.clock import SystemClock

FOLDER: Final = Path("dfs-tls")
INSTALLED: Final = Path("/etc/dfs/tls")
DAYS: Final = 365
DAYS_MAX: Final = 3653
NS_PER_S: Final = 1_000_000_000


def add_tls_commands(commands: argparse._SubParsersAction[OneLineParser]) -> None:
    """Add `tls` with its commands."""
    tls = commands.add_parser("tls", help="certificates for TLS between all programs", allow_abbrev=False)
    tls_commands = tls.add_subparsers(dest="tls_command", required=True, metavar="COMMAND")
    init = tls_commands.add_parser("init", help="make a CA, and certificates for hosts and clients", allow_abbrev=False)
    _add_subjects(init, "every host in the configuration")
    add_config_option(init)
    init.set_defaults(run=_init)
    add = tls_commands.add_parser("add", help="make certificates for further hosts and clients", allow_abbrev=False)
    _add_subjects(add, "none")
    add.set_defaults(run=_add)
    renew = tls_commands.add_parser("renew", help="replace certificates", allow_abbrev=False)
    renew.add_argument("names", nargs="*", metavar="NAME", help="whose (default: all that end within 30 days)")
    renew.add_argument("--all", action="store_true", help="all")
    _add_place(renew)
    renew.set_defaults(run=_renew)
    show = tls_commands.add_parser("show", help="whose the configured certificate is and when it ends", allow_abbrev=False)
    add_config_option(show)
    show.set_defaults(run=_show)


def _add_subjects(parser: argparse.ArgumentParser, default: str) -> None:
    parser.add_argument(
        "--host",
        action="append",
        default=[],
        type=parse_hosts,
        metavar="NAME[,NAME|ADDRESS...]",
        help=f"a machine, by all names and addresses under which it is called; may be repeated (default: {default})",
    )
    parser.add_argument(
        "--client",
        action="append",
        default=[],
        type=parse_client,
        metavar="NAME",
        help="a machine that only mounts; may be repeated",
    )
    _add_place(parser)


def _add_place(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--out", type=Path, default=FOLDER, metavar="DIR", help=f"where the CA is kept (default: ./{FOLDER})")
    parser.add_argument(
        "--days", type=parse_days, default=DAYS, metavar="N", help="how long a certificate is valid (default: %(default)s)"
    )


def parse_hosts(text: str) -> tuple[str, ...]:
    """Return the names and addresses in NAME,NAME,...; the `type=` of --host. Raises: UsageError."""
    hosts = tuple(text.split(","))
    for host in hosts:
        if not (is_host(host) or _is_address(host)):
            raise UsageError(expected="host names and addresses, with commas between", got=repr(text))
    return hosts


def parse_client(text: str) -> str:
    """Return a client's name; the `type=` of --client. Raises: UsageError."""
    try:
        return parse_name(text)
    except Unfit as unfit:
        raise UsageError(expected=str(unfit), got=repr(text)) from unfit


def parse_days(text: str) -> int:
    """Return a number of days; the `type=` of --days. Raises: UsageError."""
    if not (text.isascii() and text.isdigit() and len(text) <= 4 and 1 <= int(text) <= DAYS_MAX):
        raise UsageError(expected=f"a number of days from 1 to {DAYS_MAX}", got=repr(text))
    return int(text)


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def hosts_of(config: Config) -> tuple[tuple[str, ...], ...]:
    """Return every host that a configuration names, each once."""
    addresses = (config.meta.address, *(server.address for server in config.servers))
    return tuple((host,) for host in dict.fromkeys(address.rpartition(":")[0] for address in addresses))


def _now_s() -> float:
    return SystemClock().wall_ns() / NS_PER_S


def _init(options: argparse.Namespace) -> int:
    work = _work()
    cluster, hosts = "cluster", tuple(options.host)
    if not hosts:
        config = read_config(options.config)
        cluster, hosts = config.cluster.name, hosts_of(config)
    subjects = [work.Subject(names[0], names) for names in hosts] + [work.Subject(name, ()) for name in options.client]
    work.check_subjects(subjects)
    folder = work.AuthorityFolder(options.out)
    folder.init(cluster, _now_s())
    folder.add(subjects, _now_s(), options.days)
    print(f"{options.out / 'ca.key'}: the CA's key, needed only to make certificates; keep it safe, no server wants it")
    _print_made(options.out, [subject.name for subject in subjects])
    print("Then in the configuration of every machine:\n")
    print(f"[tls]\ncertificate = {INSTALLED}/certificate.pem\nkey = {INSTALLED}/key.pem\nca = {INSTALLED}/ca.pem")
    return ExitCode.DONE


def _add(options: argparse.Namespace) -> int:
    work = _work()
    subjects = [work.Subject(names[0], names) for names in options.host] + [work.Subject(name, ()) for name in options.client]
    if not subjects:
        raise UsageError(expected="--host or --client", got="neither")
    work.check_subjects(subjects)
    work.AuthorityFolder(options.out).add(subjects, _now_s(), options.days)
    _print_made(options.out, [subject.name for subject in subjects])
    return ExitCode.DONE


def _renew(options: argparse.Namespace) -> int:
    renewed = _work().AuthorityFolder(options.out).renew(options.names, _now_s(), options.days, all_names=options.all)
    if renewed:
        _print_made(options.out, renewed)
    else:
        print("no certificate ends within 30 days; --all renews all")
    return ExitCode.DONE


def _print_made(folder: Path, names: list[str]) -> None:
    for name in names:
        print(f"{folder / name}: on {name}, as root: install -g dfs -m 640 {folder / name}/*.pem {INSTALLED}/")


def _show(options: argparse.Namespace) -> int:
    """Print the configured certificates; 1 if one ends within 30 days."""
    config = read_config(options.config)
    if not config.tls.is_on:
        print("TLS is off: [tls] names no files")
        return ExitCode.DONE
    urgencies = []
    for what, path in (("certificate", config.tls.certificate), ("CA", config.tls.ca)):
        try:
            found = read_certificate(Path(path).read_text(encoding="latin-1"))
        except (OSError, Unreadable) as error:
            raise ConfigError("a certificate in PEM", str(error), path) from error
        urgency = found.urgency(_now_s())
        urgencies.append(urgency)
        print(f"{path}: {what} {found.name}, {urgency.value}: until {found.until}, {found.days_left(_now_s())} days")
    return ExitCode.DONE if all(urgency is Urgency.NONE for urgency in urgencies) else ExitCode.FAILED


def _work() -> ModuleType:
    """Return the module that makes certificates. Raises: MissingPackage."""
    try:
        from dfs.cli.tls import folder
    except ImportError as error:
        raise MissingPackage("the Python package cryptography (in Debian: apt install python3-cryptography)", "none") from error
    return folder
