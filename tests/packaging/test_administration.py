"""Goal: an administrator who types what README.md and docs/administration.md show gets what they say. Method: the commands are read
out of their blocks and run in their order on a booted Debian that plays all hosts of the example, each with a name and address of
its own; a command that this file does not know how to judge must end with 0.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final, NamedTuple

import pytest

from tests.harness.booted_host import BootedHost
from tests.harness.root_filesystem import DEBIAN_12, find_or_make_root
from tests.harness.waiting import wait_until
from tests.packaging.conftest import ROOT
from tests.packaging.newer import SUFFIX, make_newer

pytestmark = pytest.mark.timeout(600)  # the first test of a machine waits for the root file system to be made
HOSTS: Final = ("alpha", "beta", "gamma", "delta")
HOME: Final = "/root"
PACKAGES: Final = f"{HOME}/build/deb"
FILE: Final = "/mnt/dfs/precious"
TEXT: Final = "All is well.\n" * 5000
UNTIL_S: Final = 60.0
NETWORK: Final = "/etc/systemd/network/10-lo.network"
LOOPBACK: Final = "[Match]\nName=lo\n[Network]\nKeepConfiguration=yes\n"
QUESTIONS: Final = ("dfsctl status", "dfsctl safe-to-stop", "ls /mnt/dfs")
"""Begin commands that the reader repeats until the answer is yes."""
VERDICTS: Final = {"dfsctl diagnose": (0, 1), "systemctl status": (0, 3)}
"""Begin commands whose other exit statuses are answers, too."""


class Command(NamedTuple):
    """One line of a block."""

    host: str
    words: str


def sections(document: str, heading: str) -> dict[str, list[Command]]:
    """Return the commands of a document, by the headings that match: the text in the first group."""
    found: dict[str, list[Command]] = {}
    name = ""
    for line in (ROOT / document).read_text().splitlines():
        match = re.match(heading, line)
        if match:
            name = match[1]
        command = re.fullmatch(r"(all|alpha|beta|gamma|delta)# (.+?)(\s{2,}# .*)?", line)
        if command:
            found.setdefault(name, []).append(Command(command[1], command[2]))
    return found


README: Final = sections("README.md", r"\*\*([A-Z][a-z -]+)\.?\*\*")
PAGE: Final = sections("docs/administration.md", r"## (.*)")


class Site:
    """The host that plays all."""

    def __init__(self, host: BootedHost, packages: Sequence[Path], folder: Path) -> None:
        self.host = host
        self.packages = packages
        self.folder = folder

    def follow(self, commands: Sequence[Command]) -> None:
        """Type commands; on one host what all shall do is done once."""
        assert commands
        for command in commands:
            self.type(command.words)

    def type(self, words: str) -> None:
        """Type a command, again and again if it is a question."""
        if words.startswith(QUESTIONS):
            wait_until(lambda: self._run(words).returncode == 0, f"a yes to {words!r}", UNTIL_S)
            return
        done = self._run(words)
        allowed = next((codes for begin, codes in VERDICTS.items() if words.startswith(begin)), (0,))
        if done.returncode not in allowed:
            journal = self.host.run("journalctl", "-n", "40", "--no-pager")
            raise AssertionError(f"{words}: {done.returncode}\n{done.stdout}{done.stderr}{journal}")

    def _run(self, words: str) -> subprocess.CompletedProcess[str]:
        return self.host.try_to("sh", "-c", f"cd {HOME} && {words}", timeout_s=180, stdin="y\n")  # to what apt asks

    def put(self, path: str, text: str) -> None:
        """Write a file of the host."""
        self.host.run("dd", f"of={path}", "status=none", stdin=text)

    def offer(self, packages: Sequence[Path]) -> None:
        """Put packages where the commands find them."""
        self.host.run("rm", "-rf", PACKAGES)
        self.host.bring(packages, PACKAGES)

    def version(self) -> str:
        """Return the version that is installed."""
        return self.host.run("dpkg-query", "--show", "--showformat=${Version}", "dfs-data")

    def pid(self, unit: str) -> str:
        """Return the main process of a unit."""
        return self.host.run("systemctl", "show", "--property=MainPID", "--value", unit).strip()

    def check_file(self) -> None:
        """Check that what was stored at first is there."""
        assert self.host.run("timeout", "30", "cat", FILE) == TEXT


@pytest.fixture(scope="module")
def site(packages: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("administration")
    with BootedHost("alpha", [find_or_make_root(DEBIAN_12)], folder / "host") as host:
        host.boot()
        made = Site(host, packages, folder)
        addresses = {name: f"10.99.0.{11 + number}" for number, name in enumerate(HOSTS)}
        names = "".join(f"{address} {name}\n" for name, address in addresses.items())
        made.put(NETWORK, LOOPBACK + "".join(f"Address={address}/32\n" for address in addresses.values()))
        made.put("/etc/hosts", f"127.0.0.1 localhost\n{names}")
        made.put("/etc/fstab", "none /var/lib/dfs/data1 tmpfs mode=0700 0 0\n")
        host.run("mkdir", "-p", "/var/lib/dfs/data1")
        # It has nothing but loopback, which never comes online.
        host.run("systemctl", "mask", "--now", "systemd-networkd-wait-online.service")
        host.run("systemctl", "restart", "systemd-networkd")
        host.run("systemctl", "daemon-reload")
        host.run("mount", "/var/lib/dfs/data1")
        made.offer(packages)
        yield made


def install_from_repository(site: Site) -> None:
    """Install what the text calls for from a repository of our own, before the files are."""
    (words,) = re.findall(r"From a repository it is `(apt install [^`]+)`", " ".join((ROOT / "README.md").read_text().split()))
    index = subprocess.run(
        ["dpkg-scanpackages", "."], cwd=site.packages[0].parent, check=True, capture_output=True, text=True
    ).stdout
    site.put(f"{PACKAGES}/Packages", index)
    site.put("/etc/apt/sources.list.d/dfs.list", f"deb [trusted=yes] file:{PACKAGES} ./\n")
    only = ["-o", "Dir::Etc::SourceList=/etc/apt/sources.list.d/dfs.list", "-o", "Dir::Etc::SourceParts=-"]
    site.host.run("apt-get", "update", *only, timeout_s=60)
    site.type(words)
    assert site.version()


def check_keys(site: Site) -> None:
    shown = site.host.run("stat", "--format=%U:%G %a", "/etc/dfs/cluster.key", "/etc/dfs/delta.key")
    assert shown.splitlines() == ["root:dfs 640"] * 2


def store_a_file(site: Site) -> None:
    site.host.run("dd", f"of={FILE}", "conv=fsync", "status=none", stdin=TEXT)


def offer_newer(site: Site) -> None:
    site.offer(make_newer(site.packages, site.folder))


def check_upgraded(site: Site) -> None:
    assert site.version().endswith(SUFFIX)
    site.check_file()


def lose_beta(site: Site) -> None:
    site.host.run("systemctl", "disable", "--now", "dfs-data@1")
    site.host.run("sh", "-c", "rm -rf /var/lib/dfs/data1/* /etc/dfs/dfs.conf.d/*")


def offer_older(site: Site) -> None:
    assert site.version().endswith(SUFFIX)
    site.offer(site.packages)


def check_downgraded(site: Site) -> None:
    assert not site.version().endswith(SUFFIX)
    site.check_file()


def check_logind(site: Site) -> None:
    asked = ["busctl", "get-property", "org.freedesktop.login1", "/org/freedesktop/login1", "org.freedesktop.login1.Manager"]
    assert site.host.run(*asked, "InhibitDelayMaxUSec").split() == ["t", "120000000"]


def check_left(site: Site) -> None:
    assert site.host.try_to("dfs-mount", "--version").returncode != 0
    assert site.host.run("ls", "/var/lib/dfs/data0").split()


def nothing(site: Site) -> None:
    """Do nothing before or after a section."""


Hook = Callable[[Site], None]
BEFORE: Final[dict[str, Hook]] = {
    "Install": install_from_repository,
    "Upgrade": offer_newer,
    "Replace a host": lose_beta,
    "Upgrades and downgrades": offer_older,
}
AFTER: Final[dict[str, Hook]] = {
    "Keys": check_keys,
    "Mount": store_a_file,
    "Upgrade": check_upgraded,
    "Reboot": Site.check_file,
    "Replace a disk": Site.check_file,
    "Replace a host": Site.check_file,
    "Back up the meta-server": Site.check_file,
    "Stopping and rebooting": check_logind,
    "Upgrades and downgrades": check_downgraded,
    "Leaving a host": check_left,
}


def test_every_section_is_one_that_is_followed_here() -> None:
    assert list(README) == [
        "Install",
        "Keys",
        "Three hosts",
        "Mount",
        "Upgrade",
        "Reboot",
        "Replace a disk",
        "Replace a host",
        "Back up the meta-server",
        "Read the journal",
    ]
    assert set(BEFORE) | set(AFTER) <= set(README) | set(PAGE)
    prompts = [line for line in (ROOT / "README.md").read_text().splitlines() if re.match(r"[a-z]+# ", line)]
    assert len(prompts) == sum(map(len, README.values()))


@pytest.mark.parametrize("section", [*README, *PAGE])
def test_commands_do_what_the_section_says(site: Site, section: str) -> None:
    BEFORE.get(section, nothing)(site)
    site.follow((README | PAGE)[section])
    AFTER.get(section, nothing)(site)
