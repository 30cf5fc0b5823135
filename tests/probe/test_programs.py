"""Goal: programs that people use every day work on a mount as on a local disk: git, tar, rsync, temporary files, editors.
Method: the programs themselves on a real cluster; what they leave is compared with the original, byte by byte.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness.cluster import Cluster
from tests.harness.leftovers import marked_environment
from tests.harness.program import ROOT

NEW_NS = 10**11
CHECK_TIMEOUT_S = 1200
ANY_OWNER = ("-c", "safe.directory=*")
IDENTITY = ("-c", "user.name=test", "-c", "user.email=test@example.org")


@pytest.fixture
def folder(cluster: Cluster) -> Path:
    return cluster.mount().path


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Return a tree with what archives must keep: modes, times, links of both kinds, holes, empty and odd names."""
    tree = tmp_path / "tree"
    (tree / "a" / "deep" / "er").mkdir(parents=True)
    (tree / "empty").mkdir(mode=0o500)
    for number, size in enumerate((0, 1, 511, 512, 513, 100_000)):
        path = tree / "a" / f"file{number}"
        path.write_bytes(os.urandom(size))
        path.chmod(0o600 | number)
        os.utime(path, ns=(10**18 + number, 10**18 + number * 1001))
    os.link(tree / "a" / "file5", tree / "a" / "deep" / "hard")
    (tree / "a" / "soft").symlink_to("file5")
    (tree / "dangling").symlink_to("/nowhere/at all")
    with (tree / "sparse").open("wb") as file:
        file.seek(300_000)
        file.write(b"end")
    os.mkfifo(tree / "fifo")
    (tree / os.fsdecode(b"odd \xff\n name")).write_bytes(b"odd")
    for path in _below(tree):
        if time.time_ns() - path.lstat().st_mtime_ns < NEW_NS:
            os.utime(path, ns=(10**18, 10**18), follow_symlinks=False)  # long ago: rsync takes times within one second for equal
    return tree


def describe(tree: Path) -> list[tuple[object, ...]]:
    """Return what must be the same of everything in a tree."""
    return sorted((str(path.relative_to(tree)), *_look(path)) for path in _below(tree))


def _below(tree: Path) -> Iterator[Path]:
    for folder, folders, files in os.walk(tree):
        yield from (Path(folder) / name for name in (*folders, *files))


def _look(path: Path) -> tuple[object, ...]:
    found = path.lstat()
    is_folder = stat.S_ISDIR(found.st_mode)
    content = ""
    if stat.S_ISREG(found.st_mode):
        content = hashlib.sha256(path.read_bytes()).hexdigest()
    elif stat.S_ISLNK(found.st_mode):
        content = os.readlink(path)
    return (found.st_mode, found.st_uid, found.st_gid, found.st_mtime_ns, 0 if is_folder else found.st_nlink, content)


def run(*command: object, cwd: Path | None = None, timeout_s: float = 500) -> str:
    """Run a program as from a user's shell and return what it printed; fails the test if it fails."""
    environment = {name: value for name, value in marked_environment().items() if not name.startswith("GIT_")}
    words = [str(word) for word in command]
    done = subprocess.run(words, check=False, cwd=cwd, env=environment, capture_output=True, text=True, timeout=timeout_s)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """Return this repository, or one made of its files where they are no git checkout (a tarball)."""
    if (ROOT / ".git").exists():
        return ROOT
    made = tmp_path / "repository"
    shutil.copytree(ROOT, made, ignore=shutil.ignore_patterns("__pycache__", ".venv", ".*_cache", "run", "mnt", "build"))
    run("git", "init", "--quiet", made)
    run("git", "add", "--all", cwd=made)
    run("git", *IDENTITY, "commit", "--quiet", "-m", "all", cwd=made)
    return made


def clone_of(repository: Path, clone: Path) -> Path:
    """Clone as from another machine, in one pack, whoever owns the repository."""
    run("git", *ANY_OWNER, "clone", "--quiet", "--no-local", repository, clone)
    return clone


@pytest.mark.timeout(600)
def test_git_clones_this_repository_commits_and_finds_nothing_wrong(folder: Path, repository: Path) -> None:
    clone = clone_of(repository, folder / "clone")
    run("git", "fsck", "--full", "--strict", cwd=clone)
    assert run("git", "status", "--porcelain", cwd=clone) == ""
    assert run("git", "rev-parse", "HEAD", cwd=clone) == run("git", *ANY_OWNER, "rev-parse", "HEAD", cwd=repository)
    (clone / "README.md").write_text("changed")
    run("git", *IDENTITY, "commit", "--quiet", "-am", "change", cwd=clone)
    run("git", "fsck", "--full", "--strict", cwd=clone)
    assert run("git", "show", "HEAD:README.md", cwd=clone) == "changed"


@pytest.mark.timeout(2 * CHECK_TIMEOUT_S)
def test_make_check_passes_inside_a_clone(folder: Path, repository: Path) -> None:
    """Much of its time goes into mypy's cache, which is cold in a clone. A part of the unit tests does for pytest."""
    clone = clone_of(repository, folder / "clone")
    where = run(sys.executable, "-c", "import dfs; print(dfs.__file__)", cwd=clone)
    assert where == f"{clone}/dfs/__init__.py\n"
    check = ("make", "-o", "machine", "check", f"VENV={sys.prefix}", "UNIT=tests/unit/core")
    output = run(*check, cwd=clone, timeout_s=CHECK_TIMEOUT_S)
    assert "Success: no issues found" in output
    assert re.search(r"^[1-9][0-9]* passed in ", output, re.MULTILINE), output
    assert (clone / ".pytest_cache").is_dir()
    assert (clone / ".mypy_cache").is_dir()
    assert run("git", "status", "--porcelain", cwd=clone) == ""


def test_tar_there_and_back_keeps_everything(folder: Path, tree: Path, tmp_path: Path) -> None:
    run("tar", "-C", tree, "-cf", folder / "tree.tar", "--format=posix", ".")
    (folder / "out").mkdir()
    run("tar", "-C", folder / "out", "-xpf", folder / "tree.tar", "--same-owner")
    assert describe(folder / "out") == describe(tree)
    run("tar", "-C", folder / "out", "-cf", tmp_path / "back.tar", "--format=posix", ".")
    (tmp_path / "back").mkdir()
    run("tar", "-C", tmp_path / "back", "-xpf", tmp_path / "back.tar", "--same-owner")
    assert describe(tmp_path / "back") == describe(tree)


@pytest.mark.skipif(shutil.which("rsync") is None, reason="rsync is not installed; scripts/setup-machine.sh installs it")
def test_rsync_there_and_back_keeps_everything_and_finds_nothing_to_do_again(folder: Path, tree: Path, tmp_path: Path) -> None:
    run("rsync", "-aHAX", f"{tree}/", folder / "copy")
    assert describe(folder / "copy") == describe(tree)
    assert run("rsync", "-aHAX", "--checksum", "--itemize-changes", f"{tree}/", folder / "copy") == ""
    run("rsync", "-aHAX", f"{folder}/copy/", tmp_path / "back")
    assert describe(tmp_path / "back") == describe(tree)


def test_temporary_files_live_without_a_name_and_leave_nothing(folder: Path) -> None:
    with tempfile.TemporaryFile(dir=folder) as file:
        assert list(folder.iterdir()) == []
        file.write(b"x" * 100_000)
        file.seek(50_000)
        assert file.read() == b"x" * 50_000
    with tempfile.NamedTemporaryFile(dir=folder) as named:
        named.write(b"named")
        named.flush()
        assert Path(named.name).read_bytes() == b"named"
    with tempfile.TemporaryDirectory(dir=folder) as inner:
        (Path(inner) / "file").write_bytes(b"inner")
    assert list(folder.iterdir()) == []


def test_editors_write_and_rename_leaves_the_old_or_the_new_file_to_every_reader(folder: Path) -> None:
    path = folder / "document"
    path.write_text("version 0")
    path.chmod(0o640)
    with path.open() as opened_before:
        for version in range(1, 20):
            fresh = folder / f".document.{version}.swp"
            fd = os.open(fresh, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o640)
            os.write(fd, f"version {version}".encode() * version)
            os.fsync(fd)
            os.close(fd)
            os.link(path, folder / "document~") if version == 1 else None
            fresh.rename(path)
            assert path.read_text() == f"version {version}" * version
        assert opened_before.read() == "version 0"
    assert (folder / "document~").read_text() == "version 0"
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert sorted(entry.name for entry in folder.iterdir()) == ["document", "document~"]
