"""Goal: the packages hold what they should, meet Debian's rules, and are the same bytes whoever builds them. Method: `make deb` and
`make install` as a packager runs them; lintian and dpkg-deb are the judges. What the packages do is in the other files here.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

import dfs
from tests.harness.leftovers import marked_environment
from tests.packaging.conftest import ROOT, copy_checkout

pytestmark = pytest.mark.timeout(600)
UNITS = "lib/systemd/system"
HOLDS = {
    "dfs-common": [
        "/etc/dfs/dfs.conf",
        f"/{UNITS}/dfs.slice",
        f"/{UNITS}/dfs.target",
        "/usr/bin/dfsctl",
        "/usr/lib/python3/dist-packages/dfs/cli/dfsctl.py",
        "/usr/lib/systemd/catalog/dfs.catalog",
        "/usr/lib/systemd/system-generators/dfs-server-generator",
        "/usr/lib/sysusers.d/dfs.conf",
        "/usr/lib/tmpfiles.d/dfs.conf",
        "/usr/share/bash-completion/completions/dfsctl",
        "/usr/share/man/man5/dfs.conf.5.gz",
        "/usr/share/man/man7/dfs.7.gz",
        "/usr/share/man/man8/dfsctl.8.gz",
    ],
    "dfs-meta": [
        f"/{UNITS}/dfs-meta.service",
        f"/{UNITS}/dfs-meta.socket",
        "/usr/bin/dfs-meta",
        "/usr/share/man/man8/dfs-meta.8.gz",
    ],
    "dfs-data": [
        f"/{UNITS}/dfs-data@.service",
        f"/{UNITS}/dfs-inhibit.service",
        "/etc/needrestart/conf.d/50-dfs-data.conf",
        "/usr/bin/dfs-data",
        "/usr/bin/dfs-inhibit",
        "/usr/lib/systemd/logind.conf.d/10-dfs.conf",
        "/usr/share/man/man8/dfs-data.8.gz",
        "/usr/share/man/man8/dfs-inhibit.8.gz",
    ],
    "dfs-client": [
        f"/{UNITS}/dfs-mount@.service",
        f"/{UNITS}/dfs-shutdown.service",
        "/etc/needrestart/conf.d/50-dfs-client.conf",
        "/usr/bin/dfs-mount",
        "/usr/lib/systemd/system-generators/dfs-generator",
        "/usr/sbin/mount.dfs",
        "/usr/sbin/mount.fuse.dfs",
        "/usr/share/man/man8/dfs-mount.8.gz",
        "/usr/share/man/man8/mount.dfs.8.gz",
    ],
}
"""What each package must have; Debian 13 puts units below /usr."""


def contents(package: Path) -> set[str]:
    """Return the files and links in a package, units where Debian 12 has them."""
    listing = subprocess.run(["dpkg-deb", "--contents", str(package)], text=True, capture_output=True, check=True).stdout
    names = {line.split(maxsplit=5)[5].removeprefix(".").partition(" -> ")[0] for line in listing.splitlines()}
    return {name.replace("/usr/lib/systemd/system/", f"/{UNITS}/") for name in names if not name.endswith("/")}


def field(package: Path, name: str) -> str:
    """Return a field of a package."""
    return subprocess.run(["dpkg-deb", "--field", str(package), name], text=True, capture_output=True, check=True).stdout.strip()


def named(packages: list[Path], name: str) -> Path:
    """Return the package called `name`."""
    return next(package for package in packages if package.name.startswith(f"{name}_"))


@pytest.mark.parametrize("name", HOLDS)
def test_package_holds_its_files(packages: list[Path], name: str) -> None:
    assert set(HOLDS[name]) <= contents(named(packages, name))


def test_no_file_is_in_two_packages_and_none_of_the_library_is_missing(packages: list[Path]) -> None:
    found = [contents(package) for package in packages]
    assert sum(map(len, found)) == len(set().union(*found))
    library = {f"/usr/lib/python3/dist-packages/{path.relative_to(ROOT)}" for path in ROOT.glob("dfs/**/*.py")}
    assert library <= contents(named(packages, "dfs-common"))


def test_version_is_the_program_s_and_depends_are_packages_of_debian(packages: list[Path]) -> None:
    assert {field(package, "Version") for package in packages} == {dfs.__version__}
    assert "python3-systemd" in field(named(packages, "dfs-common"), "Depends")
    assert {"fuse3", "python3-fusepy"} <= set(field(named(packages, "dfs-client"), "Depends").split(", "))
    assert not any("fusepy" in field(named(packages, name), "Depends") for name in ("dfs-common", "dfs-meta", "dfs-data"))


def test_lintian_finds_no_error_and_no_warning(packages: list[Path]) -> None:
    command = ["lintian", "--no-cfg", "--allow-root", "--tag-display-limit", "0", "--fail-on", "error,warning"]
    done = subprocess.run([*command, *map(str, packages)], text=True, capture_output=True, check=False, timeout=200)
    assert done.returncode == 0, done.stdout + done.stderr


def test_packages_built_elsewhere_and_at_another_time_are_the_same_bytes(
    packages: list[Path], build: Callable[..., list[Path]], tmp_path: Path
) -> None:
    copy = copy_checkout(tmp_path / "elsewhere")
    before = os.umask(0o077)
    try:
        again = build(tmp_path / "again", copy, TZ="Asia/Tokyo", LC_ALL="C")
    finally:
        os.umask(before)
    assert [package.name for package in again] == [package.name for package in packages]
    for first, second in zip(packages, again, strict=True):
        assert first.read_bytes() == second.read_bytes(), first.name


def test_install_puts_the_same_files_below_destdir(packages: list[Path], tmp_path: Path) -> None:
    command = ["make", "install", f"DESTDIR={tmp_path}", f"UNITDIR=/{UNITS}"]
    done = subprocess.run(command, cwd=ROOT, env=marked_environment(), text=True, capture_output=True, check=False, timeout=200)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    found = {f"/{path.relative_to(tmp_path)}" for path in tmp_path.rglob("*") if not path.is_dir()}
    wanted = set().union(*(contents(package) for package in packages))
    of_packages_only = ("/usr/share/doc/", "/usr/share/lintian/", "/usr/lib/python3/")
    assert {name.removesuffix(".gz") for name in wanted if not name.startswith(of_packages_only)} <= found
    assert any(name.endswith("/dfs/cli/dfsctl.py") for name in found)
