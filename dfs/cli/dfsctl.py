"""`dfsctl`: looking at a cluster and its disks. Reads arguments and hands over to one module per subcommand, which is imported only
then: `dfsctl config check` runs before each start of a server and must not load all of them.

What changes something asks for a word that says so: `accept-loss --yes`, `meta restore --from-servers` or a FILE,
`meta accept-rollback`; `init` replaces nothing without `--force`.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from dfs.cli.arguments import PREFIX, OneLineParser, make_parser, parse_address, parse_index, run_program
from dfs.cli.configuration import add_config_option, config_path, find_drop_ins, has_config, read_config
from dfs.cli.network_terms import NetworkTerms, network_terms, terms_of_address
from dfs.cli.tls.commands import add_tls_commands
from dfs.cli.tools.cluster_file import NAME, parse_servers, write_cluster
from dfs.cli.tools.key_commands import add_key_commands
from dfs.core.errors import ExitCode
from dfs.core.start_errors import ConfigError, UsageError

if TYPE_CHECKING:
    from dfs.core.config import Config
    from dfs.core.interfaces import CallContext, DataServers, MetaApi

PROGRAM: Final = "dfsctl"
EPILOG: Final = """\
Exit status:
  status       0 healthy, 1 degraded, 2 data at risk (two neighbouring servers are not healthy)
  diagnose     0 healthy, 1 something is wrong, 2 data can't be read
  safe-to-stop 0 safe, 1 something could not be read while it is stopped
  fsck         0 clean, 1 everything that was found is repaired, 2 damage is left, as always without --repair
  ls-blocks    0 both copies of all blocks are good, 1 some are not
  lost         0 nothing is lost, 1 something is
  dump-strip   0 everything verifies, 1 something does not
  tls show     0 the configured certificates are valid for more than 30 days, 1 one is not
  scrub --wait 0 nothing was found or all of it repaired, 1 damage is left or some copies could not be compared
  all          2 wrong usage, 3 wrong configuration, 4 a file or folder that can't be used, 5 a server that is needed does
               not answer"""

Command = Callable[[argparse.Namespace], int]


def main(argv: Sequence[str] | None = None) -> int:
    """Run dfsctl and return its exit status."""
    return run_program(PROGRAM, lambda: _run(sys.argv[1:] if argv is None else argv))


def _run(argv: Sequence[str]) -> int:
    options = make_dfsctl_parser().parse_args(argv)
    run: Command = options.run
    return run(options)


def make_dfsctl_parser() -> OneLineParser:
    """Return what reads dfsctl's arguments; `run` of its result carries the subcommand out."""
    parser = make_parser(PROGRAM, "Look at a dfs cluster and its disks.", EPILOG)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    status = commands.add_parser("status", help="how the cluster is doing", allow_abbrev=False)
    _add_cluster(status, _status)
    status.add_argument("--json", action="store_true", help="for programs: one JSON object")
    diagnosis = commands.add_parser("diagnose", help="what is wrong, and what cures it", allow_abbrev=False)
    _add_cluster(diagnosis, _diagnose)
    diagnosis.add_argument("--json", action="store_true", help="for programs: one JSON object")
    stop = commands.add_parser("safe-to-stop", help="whether a data server may be stopped without harm", allow_abbrev=False)
    stop.add_argument("server", type=parse_index, metavar="N", help="which data server, from 0")
    _add_cluster(stop, _safe_to_stop)
    stop.add_argument("--json", action="store_true", help="for programs: one JSON object")
    blocks = commands.add_parser("ls-blocks", help="where a file's blocks are and whether they verify", allow_abbrev=False)
    blocks.add_argument("path", metavar="PATH", help=f"a file below a mount, or {PREFIX}PATH from the root of the file system")
    _add_cluster(blocks, _ls_blocks)
    blocks.add_argument("--json", action="store_true", help="for programs: one JSON array")
    listing = commands.add_parser("lost", help="which files have blocks of which no copy is left", allow_abbrev=False)
    _add_cluster(listing, _lost)
    listing.add_argument("--everywhere", action="store_true", help="look at every block, not only at those of two lost neighbours")
    listing.add_argument("--json", action="store_true", help="for programs: one JSON array")
    scrub = commands.add_parser("scrub", help="read and compare everything, or one file, at once", allow_abbrev=False)
    _add_cluster(scrub, _scrub)
    scrub.add_argument("--server", type=parse_index, metavar="N", help="only what is on this data server's disk")
    scrub.add_argument("--path", metavar="PATH", help=f"only this file: below a mount, or {PREFIX}PATH")
    scrub.add_argument("--wait", action="store_true", help="until it is done, and tell what came of it")
    accept = commands.add_parser("accept-loss", help="let lost blocks read as never written", allow_abbrev=False)
    _add_cluster(accept, _accept_loss)
    accept.add_argument("--yes", action="store_true", required=True, help="yes: what `dfsctl lost` lists will read as zeros")
    check = commands.add_parser("fsck", help="compare the meta-server with itself and with the data servers", allow_abbrev=False)
    _add_cluster(check, _fsck)
    check.add_argument("--repair", action="store_true", help="replace bad copies by good ones, quarantine what nobody knows")
    check.add_argument("--json", action="store_true", help="for programs: one JSON object")
    meta = commands.add_parser("meta", help="what concerns the meta-server's state", allow_abbrev=False)
    meta_commands = meta.add_subparsers(dest="meta_command", required=True, metavar="COMMAND")
    _add_backup(meta_commands)
    _add_restore(meta_commands)
    accept = meta_commands.add_parser("accept-rollback", help="believe a meta-server that was restored", allow_abbrev=False)
    _add_cluster(accept, _accept_rollback)
    _add_configuration(commands)
    add_key_commands(commands)
    call = commands.add_parser("rpc", help="call any method of a server by hand", allow_abbrev=False)
    call.add_argument("method", metavar="METHOD", help="system.listMethods names them all")
    call.add_argument("arguments", nargs="*", metavar="ARGUMENT", help="JSON, a word, or b:TEXT for bytes")
    call.add_argument("--data", type=parse_index, metavar="N", help="ask data server N instead of the meta-server")
    _add_cluster(call, _call)
    add_tls_commands(commands)
    dump = commands.add_parser("dump-strip", help="what a strip file on a data server's disk says", allow_abbrev=False)
    dump.add_argument("file", type=Path, metavar="FILE")
    dump.set_defaults(run=_dump_strip)
    return parser


def _add_configuration(commands: argparse._SubParsersAction[OneLineParser]) -> None:
    init = commands.add_parser("init", help="write down which servers the cluster has", allow_abbrev=False)
    init.add_argument(
        "--servers", type=parse_servers, required=True, metavar="HOST:PORT,...", help="the data servers, in order of their index"
    )
    init.add_argument("--meta", type=parse_address, metavar="HOST:PORT", help="the meta-server (default: as configured)")
    init.add_argument("--name", help="what people call the file system (default: as configured)")
    init.add_argument("--force", action="store_true", help=f"replace a {NAME} that says something else")
    add_config_option(init)
    init.set_defaults(run=_init)
    config = commands.add_parser("config", help="what concerns the configuration files", allow_abbrev=False)
    config_commands = config.add_subparsers(dest="config_command", required=True, metavar="COMMAND")
    check = config_commands.add_parser("check", help="read them as the servers do", allow_abbrev=False)
    add_config_option(check)
    check.set_defaults(run=_config_check)


def _init(options: argparse.Namespace) -> int:
    path = config_path(options.config)
    print(write_cluster(path, options.servers, meta=options.meta, name=options.name, force=options.force))
    return ExitCode.DONE


def _config_check(options: argparse.Namespace) -> int:
    path = config_path(options.config)
    try:
        config = read_config(options.config)
        tls_line = _check_tls(config)
    except ConfigError as error:
        # No event: the program whose start or reload this belongs to tells it for itself.
        print(f"{PROGRAM}: {' '.join(str(error).split())}", file=sys.stderr)
        return error.exit_code
    for file in (path, *find_drop_ins(path)):
        print(f"{file}: good")
    print(f"cluster {config.cluster.name}: meta-server at {config.meta.address}, {len(config.servers)} data servers")
    if tls_line:
        print(tls_line)
    return ExitCode.DONE


def _check_tls(config: Config) -> str:
    """Return what is to be said of the files for TLS, nothing if it is off. Raises: ConfigError."""
    if not config.tls.is_on:
        return ""
    from dfs.cli.tools.connections import Unheard

    tls = network_terms(config).read_tls(Unheard())
    assert tls is not None
    return f"TLS: certificate of {tls.now.certificate.name}, valid until {tls.now.certificate.until}"


def _add_backup(commands: argparse._SubParsersAction[OneLineParser]) -> None:
    backup = commands.add_parser("backup", help="write the running meta-server's state to a file", allow_abbrev=False)
    backup.add_argument("file", type=Path, metavar="FILE", help="gzipped; it appears whole or not at all")
    backup.add_argument("--force", action="store_true", help="replace a FILE that exists")
    _add_cluster(backup, _backup)


def _add_restore(commands: argparse._SubParsersAction[OneLineParser]) -> None:
    restore = commands.add_parser(
        "restore", help="bring the meta-server's state back into an empty state folder", allow_abbrev=False
    )
    source = restore.add_mutually_exclusive_group(required=True)
    source.add_argument("--from-servers", action="store_true", help="from the newest snapshot on the data servers")
    source.add_argument("file", type=Path, nargs="?", metavar="FILE", help="from a file of `dfsctl meta backup`")
    restore.add_argument("--state", type=Path, metavar="DIR", help="state folder, instead of the configured one")
    add_config_option(restore)
    restore.set_defaults(run=_restore)


def _add_cluster(command: argparse.ArgumentParser, run: Command) -> None:
    """Let a subcommand take --config or --meta, and name the function that runs it."""
    where = command.add_mutually_exclusive_group()
    add_config_option(where)
    where.add_argument("--meta", type=parse_address, metavar="HOST:PORT", help="the meta-server, without a configuration")
    command.add_argument("--key-file", type=Path, metavar="FILE", help="the key, if not as configured")
    command.set_defaults(run=run)


def _connect(options: argparse.Namespace, mounted_from: str = "") -> tuple[str, MetaApi, DataServers]:
    """Return the meta-server's address, and clients of it and of the data servers.

    `mounted_from`: the address to take when the command line names neither a meta-server nor a configuration.
    """
    from dfs.cli.tools.connections import connect_data_servers, connect_meta
    from dfs.cli.tools.status import ANSWER_TIMEOUT_S

    address, network = _find_cluster(options, mounted_from)
    return address, connect_meta(address, ANSWER_TIMEOUT_S, network), connect_data_servers(ANSWER_TIMEOUT_S, network)


def _find_cluster(options: argparse.Namespace, mounted_from: str = "") -> tuple[str, NetworkTerms]:
    """Return the meta-server's address, and the terms on which it is spoken to."""
    address: str = options.meta or (mounted_from if options.config is None else "")
    network = NetworkTerms()
    if not address or (not options.meta and has_config(options.config)):
        config = read_config(options.config)
        address, network = address or config.meta.address, network_terms(config)
    elif options.meta:
        network = NetworkTerms(tls=terms_of_address(address).tls)
    return address, network if options.key_file is None else replace(network, key_file=options.key_file)


def _context() -> CallContext:
    """Return the context of all that a command does."""
    from dfs.core.contexts import PlainContext

    return PlainContext()


def _status(options: argparse.Namespace) -> int:
    from dfs.cli.tools.status import ask_cluster, to_json, to_text

    address, meta, servers = _connect(options)
    report = ask_cluster(_context(), address, meta, servers)
    print(to_json(report) if options.json else to_text(report))
    return report.health()


def _diagnose(options: argparse.Namespace) -> int:
    from dfs.cli.diagnose import observe, show_diagnosis
    from dfs.host.clock import SystemClock

    seen = observe(_context(), SystemClock(), lambda: _connect(options))
    return show_diagnosis(seen, as_json=options.json)


def _safe_to_stop(options: argparse.Namespace) -> int:
    from dfs.cli.tools import stop_safety
    from dfs.cli.tools.status import ask_cluster

    address, meta, servers = _connect(options)
    safety = stop_safety.judge_stop(ask_cluster(_context(), address, meta, servers), options.server)
    print(stop_safety.to_json(safety) if options.json else stop_safety.to_text(safety))
    return safety.exit_code()


def _ls_blocks(options: argparse.Namespace) -> int:
    from dfs.cli.tools.ls_blocks import find_place, list_blocks, show

    place = find_place(options.path)
    _, meta, servers = _connect(options, place.meta_address)
    return show(list_blocks(_context(), place, meta, servers), as_json=options.json)


def _restore(options: argparse.Namespace) -> int:
    from dfs.cli.tools.connections import connect_data_servers
    from dfs.cli.tools.restore import restore_backup, restore_meta
    from dfs.cli.tools.status import ANSWER_TIMEOUT_S

    config = read_config(options.config)
    servers = connect_data_servers(ANSWER_TIMEOUT_S, network_terms(config))
    addresses = [server.address for server in config.servers]
    folder = options.state or Path(config.meta.state)
    if options.from_servers:
        lines = restore_meta(_context(), folder, addresses, servers)
    else:
        lines = restore_backup(_context(), folder, options.file, addresses, servers)
    for line in lines:
        print(line)
    return ExitCode.DONE


def _accept_rollback(options: argparse.Namespace) -> int:
    from dfs.core.messages.inspection import AcceptRollback, ShowMeta

    _, meta, _ = _connect(options)
    state = meta.call(_context(), ShowMeta()).state
    meta.call(_context(), AcceptRollback())
    print(f"accepted; it was {state}" if state.startswith("rolled back") else f"nothing to accept: {state}")
    return ExitCode.DONE


def _backup(options: argparse.Namespace) -> int:
    from dfs.cli.tools.backup import BACKUP_TIMEOUT_S, back_up
    from dfs.cli.tools.connections import connect_meta

    address, network = _find_cluster(options)
    backup = back_up(_context(), connect_meta(address, BACKUP_TIMEOUT_S, network), options.file, force=options.force)
    print(f"{options.file}: {backup.size_bytes} bytes, checksum {backup.checksum:08x}, verified")
    return ExitCode.DONE


def _lost(options: argparse.Namespace) -> int:
    from dfs.cli.tools import lost

    _, meta, servers = _connect(options)
    found = []
    for file in lost.find_lost(_context(), meta, servers, everywhere=options.everywhere):
        found.append(file)
        if not options.json:
            print(lost.to_text(file))
    if options.json:
        print(lost.to_json(found))
    return ExitCode.FAILED if found else ExitCode.DONE


def _fsck(options: argparse.Namespace) -> int:
    from dfs.cli.tools import fsck
    from dfs.cli.tools.connections import connect_data_servers, connect_meta, make_reader
    from dfs.cli.tools.damage import result_of
    from dfs.cli.tools.status import ANSWER_TIMEOUT_S
    from dfs.host.clock import SystemClock

    address, network = _find_cluster(options)
    servers = connect_data_servers(ANSWER_TIMEOUT_S, network)
    reader = make_reader(servers) if options.repair else None
    progress = _progress()
    check = fsck.Fsck(connect_meta(address, fsck.CHECK_TIMEOUT_S, network), servers, SystemClock(), reader, progress)
    findings = []
    for finding in check.run(_context()):
        findings.append(finding)
        progress("")
        if not options.json:
            print(finding.text())
    progress("")
    print(fsck.to_json(findings, check) if options.json else fsck.last_line(findings, check))
    return result_of(findings)


def _progress() -> Callable[[str], None]:
    """Return what shows how far a check is: on a terminal one line on standard error, else nothing."""
    if not sys.stderr.isatty():
        return lambda words: None
    return lambda words: print(f"\r\033[K{words}", end="", file=sys.stderr, flush=True)


def _scrub(options: argparse.Namespace) -> int:
    from dfs.cli.tools.ls_blocks import find_place
    from dfs.cli.tools.scrub import find_file, order_scrub, wait_for_scrub
    from dfs.core.messages.scrub import EVERYTHING

    place = None if options.path is None else find_place(options.path)
    _, meta, servers = _connect(options, "" if place is None else place.meta_address)
    ctx = _context()
    ino = EVERYTHING if place is None else find_file(ctx, place, meta)
    orders = order_scrub(ctx, meta, servers, options.server, ino)
    if options.wait:
        return wait_for_scrub(ctx, servers, orders)
    print(f"asked {len(orders)} data servers; dfsctl status shows how far they are")
    return ExitCode.DONE


def _dump_strip(options: argparse.Namespace) -> int:
    from dfs.cli.tools.dump_strip import dump_strip

    return dump_strip(options.file)


def _call(options: argparse.Namespace) -> int:
    from dfs.cli.tools.backup import BACKUP_TIMEOUT_S
    from dfs.cli.tools.connections import connect_raw
    from dfs.cli.tools.raw_call import parse_arguments, show_answer
    from dfs.core.messages.inspection import ShowMeta

    arguments = parse_arguments(options.arguments)
    address, network = _find_cluster(options)
    server = ""
    if options.data is not None:
        _, meta, _ = _connect(options)
        servers = {at.server: at.address for at in meta.call(_context(), ShowMeta()).data_servers}
        if options.data not in servers:
            raise UsageError(f"--data with one of the {len(servers)} data servers", str(options.data))
        address, server = servers[options.data], f"/{options.data}"
    client = connect_raw(address, server, BACKUP_TIMEOUT_S, network)
    print(show_answer(client.call(_context(), options.method, arguments)))
    return ExitCode.DONE


def _accept_loss(options: argparse.Namespace) -> int:
    from dfs.cli.tools import lost

    _, meta, servers = _connect(options)
    for server, identity in lost.accept_loss(_context(), meta, servers).items():
        print(f"data server {server}: primary {identity.primary}, secondary {identity.secondary}")
    return ExitCode.DONE


if __name__ == "__main__":
    sys.exit(main())
