"""Fixtures for tests of the Debian packages: built once per run from this checkout, installed once on each release of Debian, on
hosts that are booted.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Final

import pytest

import dfs
from tests.harness.booted_host import BootedHost
from tests.harness.leftovers import marked_environment
from tests.harness.root_filesystem import DEBIAN_12, DEBIAN_13, find_or_make_root

ROOT: Final = Path(__file__).resolve().parents[2]
BUILD_TIMEOUT_S: Final = 200.0
NEWER: Final = f"{dfs.__version__}+next"


@pytest.fixture(scope="session")
def build() -> Callable[..., list[Path]]:
    """Return a function that builds the packages of a checkout into a folder, and returns them."""

    def run_make(folder: Path, checkout: Path = ROOT, **environment: str) -> list[Path]:
        done = subprocess.run(
            ["make", "deb", f"DEBS={folder}"],
            cwd=checkout,
            env=marked_environment() | environment,
            text=True,
            capture_output=True,
            timeout=BUILD_TIMEOUT_S,
            check=False,
        )
        assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
        return sorted(folder.glob("*.deb"))

    return run_make


@pytest.fixture(scope="session")
def packages(build: Callable[..., list[Path]], tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Return the packages of this checkout."""
    return build(tmp_path_factory.mktemp("packages"))


@pytest.fixture(scope="session")
def newer_packages(build: Callable[..., list[Path]], tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Return packages of the next release, which differs in nothing but its number."""
    folder = tmp_path_factory.mktemp("newer")
    copy = copy_checkout(folder / "checkout")
    changelog, program = copy / "packaging" / "debian" / "changelog", copy / "dfs" / "__init__.py"
    changelog.write_text(changelog.read_text().replace(f"dfs ({dfs.__version__})", f"dfs ({NEWER})", 1))
    program.write_text(program.read_text().replace(f'"{dfs.__version__}"', f'"{NEWER}"', 1))
    return build(folder / "built", copy)


@pytest.fixture(scope="session")
def installations(packages: Sequence[Path], tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, tuple[Path, ...]]:
    """Return, for each release of Debian, the layers of a host on which the packages were installed while it ran, and which was
    shut down then.
    """
    folders = {suite: tmp_path_factory.mktemp(f"installing-{suite}") for suite in (DEBIAN_12, DEBIAN_13)}

    def install_once(suite: str) -> tuple[Path, ...]:
        with BootedHost(f"installing-{suite}", [find_or_make_root(suite)], folders[suite]) as host:
            host.boot()
            install(host, packages)
            host.run("truncate", "-s0", "/etc/machine-id")  # each host has its own
            host.power_off()
            return host.layers

    with ThreadPoolExecutor() as pool:
        return dict(zip(folders, pool.map(install_once, folders), strict=True))


@pytest.fixture(scope="session")
def installed(installations: Mapping[str, tuple[Path, ...]]) -> tuple[Path, ...]:
    """Return the layers of a Debian 12 with the packages installed."""
    return installations[DEBIAN_12]


@pytest.fixture
def make_host(installed: tuple[Path, ...], tmp_path: Path) -> Iterator[Callable[[str], BootedHost]]:
    """Make hosts with the packages installed, switched on; they are gone after the test."""
    with ExitStack() as stack:

        def make(name: str) -> BootedHost:
            host = stack.enter_context(BootedHost(name, installed, tmp_path / name))
            host.boot()
            return host

        yield make


def copy_checkout(folder: Path) -> Path:
    """Copy what packages are built from into a new folder, and return it. Files have other times there."""
    listed = subprocess.run(
        ["make", "-s", "shipped"], cwd=ROOT, env=marked_environment(), text=True, capture_output=True, check=True
    )
    folder.mkdir()
    for name in listed.stdout.split():
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("__pycache__"), copy_function=shutil.copy)
        else:
            shutil.copy(source, folder / name)
    return folder


INSTALL: Final = "apt-get install --yes --no-install-recommends --reinstall --allow-downgrades /root/packages/*.deb 2>&1"
UNPACK: Final = "dpkg --install --force-confold /root/packages/*.deb 2>&1"
"""The same where everything that they depend on is there."""
INSTALL_TIMEOUT_S: Final = 180.0


def install(host: BootedHost, packages: Sequence[Path], command: str = INSTALL, **environment: str) -> str:
    """Install packages on a host, as an administrator does with files, and return what is said of it."""
    host.run("rm", "-rf", "/root/packages")
    host.bring(packages, "/root/packages")
    words = " ".join(f"{name}={value}" for name, value in environment.items())
    return host.run("sh", "-c", f"{words} {command}", timeout_s=INSTALL_TIMEOUT_S)
