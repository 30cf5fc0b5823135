"""What a mount was asked for, kept in a file for the service that runs its client.

systemd starts the client anew after a crash and at its own time, so the words of mount(8) must stand somewhere: one small JSON file
for each mount point, in a folder of the running system that is empty after a boot. Written by the mount helper, read by dfs-mount.
"""

from __future__ import annotations

import json
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

from dfs.cli.mount_helper.unit_names import PARAMETERS_FOLDER, parameters_file
from dfs.core.start_errors import ConfigError


@dataclass(frozen=True, slots=True)
class MountParameters:
    """The words of one mount."""

    source: str
    words: tuple[str, ...]
    """The options."""


def write_parameters(point: bytes, parameters: MountParameters, folder: Path = PARAMETERS_FOLDER) -> None:
    """Keep the parameters of the mount at `point`, whole or not at all. Raises: OSError."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    text = json.dumps({"source": parameters.source, "options": list(parameters.words)})
    # Not to survive a power cut: the folder does not. Two helpers at once must not mix their words, though.
    number, name = tempfile.mkstemp(prefix=".new-", dir=folder)
    with os.fdopen(number, "w", encoding="utf-8") as file:
        file.write(text)
    os.replace(name, parameters_file(point, folder))


def read_parameters(point: bytes, folder: Path = PARAMETERS_FOLDER) -> MountParameters:
    """Return the parameters of the mount at `point`. Raises: ConfigError if there are none, or others than were written."""
    path = parameters_file(point, folder)
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        source, words = found["source"], found["options"]
        is_sound = isinstance(source, str) and isinstance(words, list) and all(isinstance(word, str) for word in words)
    except FileNotFoundError as error:
        raise ConfigError(expected=f"{path}, written by `mount`", got="no such file: mount it by mount(8) or fstab") from error
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise ConfigError(expected=f"what `mount` wrote into {path}", got=str(error)) from error
    if not is_sound:
        raise ConfigError(expected=f"what `mount` wrote into {path}", got="words of other kinds")
    return MountParameters(source, tuple(words))
