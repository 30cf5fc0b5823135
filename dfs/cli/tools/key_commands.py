"""`dfsctl key`: making the cluster key, deriving clients' keys from it, and changing it while everything goes on.

A key is shown to nobody but the file that it is written to. Changing the key takes three steps, each an edit of the key file that
has to reach all servers before the next: `rotate` takes the next one, once it has seen that all servers are ready for it.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Final

from dfs.cli.arguments import OneLineParser
from dfs.cli.configuration import add_config_option, read_config
from dfs.cli.network_terms import network_terms
from dfs.core.config import Config
from dfs.core.errors import DfsError, ExitCode
from dfs.core.ids import ServerIndex
from dfs.core.keys import ADMIN, DEFAULT_CLIENT, META, Key, Keys, Sender, client_keys, is_client_name, next_step, show_ids
from dfs.core.peers import PeerKind
from dfs.core.start_errors import ConfigError, PeerStartError, UsageError
from dfs.host.key_files import DEFAULT_FILE, create_key_file, new_secret, read_keys, replace_key_file

ANSWER_TIMEOUT_S: Final = 5.0


def add_key_commands(commands: argparse._SubParsersAction[OneLineParser]) -> None:
    """Add `dfsctl key` and what is below it."""
    key = commands.add_parser("key", help="the key with which servers, mounts and tools prove who they are", allow_abbrev=False)
    below = key.add_subparsers(dest="key_command", required=True, metavar="COMMAND")
    generate = below.add_parser("generate", help="make the cluster key; nothing is overwritten", allow_abbrev=False)
    generate.add_argument("file", type=Path, nargs="?", default=DEFAULT_FILE, metavar="FILE", help="default: %(default)s")
    generate.set_defaults(run=_generate)
    client = below.add_parser("client", help="derive the key of a client, all that a client host needs", allow_abbrev=False)
    client.add_argument("name", type=_client_name, nargs="?", default=DEFAULT_CLIENT, metavar="NAME", help="default: %(default)s")
    client.add_argument("--out", type=Path, metavar="FILE", help="default: client-NAME.key in the current folder")
    _add_source(client)
    client.set_defaults(run=_client)
    rotate = below.add_parser("rotate", help="take the next step of changing the cluster key", allow_abbrev=False)
    rotate.add_argument("--unchecked", action="store_true", help="do not ask whether all servers are ready for it")
    _add_source(rotate)
    rotate.set_defaults(run=_rotate)
    show = below.add_parser("show", help="what the keys are called, not what they are", allow_abbrev=False)
    show.add_argument("--client", type=_client_name, default=DEFAULT_CLIENT, metavar="NAME", help="of which client's key, too")
    _add_source(show)
    show.set_defaults(run=_show)


def _add_source(command: argparse.ArgumentParser) -> None:
    command.add_argument("--key-file", type=Path, metavar="FILE", help="the key file, if not as configured")
    add_config_option(command)


def _client_name(text: str) -> str:
    if not is_client_name(text):
        raise UsageError("NAME of 1 to 64 letters, digits, dots, dashes or underscores", repr(text))
    return text


def _generate(options: argparse.Namespace) -> int:
    keys: Keys = (Key(new_secret()),)
    create_key_file(options.file, keys)
    print(f"{options.file}: a new cluster key, {show_ids(keys)}")
    print(f"bring it to all servers, set key_file = {options.file.absolute()} in [cluster] on all hosts, and restart the servers;")
    print("a host that only mounts needs no more than what dfsctl key client makes")
    return ExitCode.DONE


def _client(options: argparse.Namespace) -> int:
    keys = client_keys(_cluster_keys(_key_file(options)), options.name)
    out = options.out or Path(f"client-{options.name}.key")
    create_key_file(out, keys)
    print(
        f"{out}: the key of client {options.name}, {show_ids(keys)}; bring it to that host, and name it there as [cluster] key_file"
    )
    return ExitCode.DONE


def _rotate(options: argparse.Namespace) -> int:
    path = _key_file(options)
    keys = _cluster_keys(path)
    step = next_step(keys, new_secret)
    if len(keys) > 1 and not options.unchecked:
        _require_acceptance(read_config(options.config), step.keys[0])
    replace_key_file(path, step.keys)
    print(f"{path}: {step.done}: {show_ids(step.keys)}")
    print(f"next: {step.then}")
    return ExitCode.DONE


def _show(options: argparse.Namespace) -> int:
    keys = read_keys(_key_file(options))
    if keys[0].client:
        print(f"client/{keys[0].client}: {show_ids(keys)}")
        return ExitCode.DONE
    print(f"cluster key: {show_ids(keys)}")
    for sender in (META, ADMIN, Sender(PeerKind.CLIENT, name=options.client)):
        print(f"{sender.text()}: {show_ids(tuple(replace(key, secret=key.secret_of(sender)) for key in keys))}")
    return ExitCode.DONE


def _key_file(options: argparse.Namespace) -> Path:
    """Return the key file that is meant. Raises: ConfigError."""
    path: Path | None = options.key_file or network_terms(read_config(options.config)).key_file
    if path is None:
        raise ConfigError("[cluster] key_file, or --key-file FILE", "neither")
    return path


def _cluster_keys(path: Path) -> Keys:
    keys = read_keys(path)
    if keys[0].client:
        raise ConfigError(f"the cluster key in {path}", f"the key of client {keys[0].client}")
    return keys


def _require_acceptance(config: Config, key: Key) -> None:
    """Raise PeerStartError unless all servers take requests that are signed with `key`."""
    refusals = find_refusals(config, key)
    if refusals:
        told = "; ".join(refusals)
        raise PeerStartError("all servers to accept the new key (bring the key file to them and reload them first)", told)


def find_refusals(config: Config, key: Key) -> list[str]:
    """Return what servers say that do not take requests which are signed with `key`, or that do not answer."""
    from dfs.core.contexts import PlainContext
    from dfs.core.messages.data_server import ShowData
    from dfs.core.messages.inspection import ShowMeta
    from dfs.host.clock import SystemClock
    from dfs.host.randomness import SystemRandom
    from dfs.rpc.client import DataServersClient, MetaClient
    from dfs.rpc.keyring import Keyring
    from dfs.rpc.signer import Signer

    clock = SystemClock()
    signer = Signer(keyring=Keyring(lambda: (key,)), sender=ADMIN, clock=clock, random=SystemRandom())
    addresses: Mapping[ServerIndex, str] = {server.index: server.address for server in config.servers}
    meta = MetaClient(address=config.meta.address, peer="meta-server", clock=clock, call_timeout_s=ANSWER_TIMEOUT_S, signer=signer)
    servers = DataServersClient(clock=clock, call_timeout_s=ANSWER_TIMEOUT_S, signer=signer)
    servers.set_addresses(addresses, "")
    refusals = []
    try:
        meta.call(PlainContext(), ShowMeta())
    except DfsError as error:
        refusals.append(str(error))
    answers = servers.call_all(PlainContext(), dict.fromkeys(addresses, ShowData()))
    refusals += [str(answer) for answer in answers.values() if isinstance(answer, DfsError)]
    meta.close()
    servers.close()
    return refusals
