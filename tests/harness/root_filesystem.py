"""The root file system of a small Debian for hosts that tests boot: what our packages depend on, and nothing of ours.

Made by mmdebstrap from the sources of this machine's own apt, with another release's name in them where that is wanted, once, and
kept in CACHE under a name that changes with what is in it. It is never written to: hosts (tests/harness/booted_host.py) are
overlays over it.
"""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Final

CACHE: Final = Path("/var/cache/dfs-test")
DEBIAN_12: Final = "bookworm"
DEBIAN_13: Final = "trixie"
PACKAGES: Final = (
    "systemd",
    "systemd-sysv",
    "dbus",
    "fuse3",
    "libnss-systemd",
    "procps",
    "python3",
    "python3-fusepy",
    "python3-prometheus-client",
    "python3-systemd",
)
LEFT_OUT: Final = ("/usr/share/doc/*", "/usr/share/locale/*", "/usr/share/man/*")
PROXIES: Final = ("Acquire::http::Proxy", "Acquire::https::Proxy")


def find_or_make_root(suite: str) -> Path:
    """Return the folder of the root file system of a release; a first call on a machine takes a minute or two and needs the package
    mirror.
    """
    sources = debian_sources(suite)
    assert sources, "apt knows no Debian archive; was `apt-get update` run?"
    key = hashlib.sha256("\n".join((*sources, *PACKAGES, *LEFT_OUT)).encode()).hexdigest()[:16]
    folder = CACHE / f"root-{suite}-{key}"
    if folder.is_dir():
        return folder
    CACHE.mkdir(parents=True, exist_ok=True)
    made = Path(tempfile.mkdtemp(prefix="making-", dir=CACHE))
    try:
        _make(made, sources)
        made.rename(folder)
    except OSError:
        if not folder.is_dir():  # else another run was faster
            raise
    finally:
        shutil.rmtree(made, ignore_errors=True)
    return folder


def debian_sources(suite: str) -> list[str]:
    """Return the lines of sources.list for a release, from the Debian archives that this machine installs from."""
    own = platform.freedesktop_os_release()["VERSION_CODENAME"]
    command = ["apt-get", "indextargets", "--format", "$(REPO_URI) $(CODENAME) $(COMPONENT)"]
    listed = (line.split() for line in _output([*command, "Created-By: Packages", "Origin: Debian"]).splitlines())
    # Updates and security of a release are suites of their own, named after it.
    return sorted(
        {f"deb {uri} {suite}{name.removeprefix(own)} {part}" for uri, name, part in listed if name.partition("-")[0] == own}
    )


def _make(folder: Path, sources: list[str]) -> None:
    folder.chmod(0o755)
    options = [f"--dpkgopt=path-exclude={pattern}" for pattern in LEFT_OUT]
    for name in PROXIES:
        proxy = _output(["apt-config", "shell", "PROXY", name]).partition("=")[2].strip().strip("'")
        options += [f'--aptopt={name} "{proxy}"'] if proxy else []
    include = f"--include={','.join(PACKAGES)}"
    # no suite: the lines on standard input say it all
    command = ["mmdebstrap", "--quiet", "--mode=root", "--variant=apt", include, *options, "", str(folder), "-"]
    done = subprocess.run(command, input="\n".join(sources) + "\n", text=True, capture_output=True, check=False)
    assert done.returncode == 0, f"mmdebstrap failed:\n{done.stderr[-4000:]}"
    for name in ("etc/hostname", "etc/machine-id"):  # each host has its own
        (folder / name).unlink(missing_ok=True)


def _output(command: list[str]) -> str:
    environment = {**os.environ, "LC_ALL": "C"}
    return subprocess.run(command, env=environment, text=True, capture_output=True, check=True).stdout
