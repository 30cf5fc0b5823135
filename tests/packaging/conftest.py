"""Fixtures for tests of the Debian packages: built once per run from this checkout, installed once, on hosts that are booted."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Final

import pytest

from tests.harness.booted_host import BootedHost
from tests.harness.leftovers import marked_environment
from tests.harness.root_filesystem import find_or_make_root

ROOT: Final = Path(__file__).resolve().parents[2]
BUILD_TIMEOUT_S: Final = 200.0


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
def installed(packages: Sequence[Path], tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, ...]:
    """Return the layers of a host on which the packages were installed while it ran, and which was shut down then."""
    with BootedHost("installing", [find_or_make_root()], tmp_path_factory.mktemp("installing")) as host:
        host.boot()
        install(host, packages)
        host.run("truncate", "-s0", "/etc/machine-id")  # each host has its own
        host.power_off()
        return host.layers


@pytest.fixture
def make_host(installed: tuple[Path, ...], tmp_path: Path) -> Iterator[Callable[[str], BootedHost]]:
    """Make hosts with the packages installed, switched on; they are gone after the test."""
    with ExitStack() as stack:

        def make(name: str) -> BootedHost:
            host = stack.enter_context(BootedHost(name, installed, tmp_path / name))
            host.boot()
            return host

        yield make


INSTALL: Final = "apt-get install --yes --no-install-recommends --reinstall /root/packages/*.deb 2>&1"
INSTALL_TIMEOUT_S: Final = 180.0


def install(host: BootedHost, packages: Sequence[Path], **environment: str) -> str:
    """Install packages on a host, as an administrator does with files, and return what apt says."""
    host.bring(packages, "/root/packages")
    words = " ".join(f"{name}={value}" for name, value in environment.items())
    return host.run("sh", "-c", f"{words} {INSTALL}", timeout_s=INSTALL_TIMEOUT_S)
