"""`make fuzz MINUTES=n`: fuzzes all targets for n minutes altogether, and tells executions and findings.

Each target has its share of the time in a process of its own, with atheris. What is found is kept in build/fuzz/TARGET/findings:
run `python -m tests.fuzz --replay FILE` on it. Inputs that reached something new are kept in build/fuzz/TARGET/corpus for the next
campaign; `--keep` copies a few small ones into tests/fuzz/corpus. Exit status: 1 after a finding.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
from pathlib import Path
from typing import Final, NamedTuple

from tests.fuzz.seeds import CORPUS, WORDS, seeds
from tests.fuzz.targets import TARGETS

FOLDER: Final = Path("build/fuzz")
INPUT_BYTES_MAX: Final = 4096
INPUT_TIMEOUT_S: Final = 20
"""One input that takes longer is a finding, too: a hang."""
MEMORY_MB_MAX: Final = 1024
KEPT_MAX: Final = 12
"""Files of one target that --keep leaves in tests/fuzz/corpus."""
KEPT_BYTES_MAX: Final = 512
_DONE: Final = re.compile(r"Done (\d+) in (\d+) second|stat::number_of_executed_units: (\d+)")
_COUNT: Final = re.compile(r"^#(\d+)", re.MULTILINE)


class Result(NamedTuple):
    """What came of fuzzing one target."""

    target: str
    executions: int
    findings: list[Path]
    log: str


def main() -> int:
    """Run a campaign, or replay one input."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--minutes", type=float, default=5.0)
    parser.add_argument("--only", choices=TARGETS, action="append", help="fuzz this target (may be given again); all otherwise")
    parser.add_argument("--replay", type=Path, metavar="FILE", help="give one input to the targets and show what happens")
    parser.add_argument("--keep", action="store_true", help="copy some of what reached something new into tests/fuzz/corpus")
    arguments = parser.parse_args()
    targets = arguments.only or list(TARGETS)
    if arguments.replay is not None:
        for target in targets:
            TARGETS[target](arguments.replay.read_bytes())
        return 0
    found = 0
    for target in targets:
        result = fuzz(target, arguments.minutes * 60 / len(targets))
        found += len(result.findings) + (result.executions == 0)
        print(f"{target}: {result.executions:,} executions, {len(result.findings)} findings", flush=True)
        for path in result.findings:
            print(f"  {path}\n{last_traceback(result.log)}", flush=True)
        if arguments.keep:
            keep(target)
    return 1 if found else 0


def fuzz(target: str, span_s: float) -> Result:
    """Fuzz one target for a while, or until it fails."""
    folder = FOLDER / target
    begun, findings = folder / "corpus", folder / "findings"
    for each in (begun, findings):
        each.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(seeds(target)):
        (begun / f"seed{number:03d}").write_bytes(seed)
    before = set(findings.iterdir())
    words = folder / "words"
    words.write_text("".join(f'"{_escaped(word)}"\n' for word in WORDS.get(target, [b"\x00"])))
    log = worker(
        target,
        str(begun),
        f"-max_total_time={max(1, round(span_s))}",
        f"-artifact_prefix={findings}/",
        f"-max_len={INPUT_BYTES_MAX}",
        f"-timeout={INPUT_TIMEOUT_S}",
        f"-rss_limit_mb={MEMORY_MB_MAX}",
        f"-dict={words}",
        "-print_final_stats=1",
    )
    (folder / "log").write_text(log)
    counts = [int(count) for count in _COUNT.findall(log)]
    counts += [int(part) for match in _DONE.findall(log) for part in (match[0], match[2]) if part]
    return Result(target, max(counts, default=0), sorted(set(findings.iterdir()) - before), log)


def worker(target: str, *arguments: str) -> str:
    """Run the process that fuzzes and return what it said."""
    command = [sys.executable, "-m", "tests.fuzz.worker", target, *arguments]
    done = subprocess.run(command, check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    return done.stdout.decode("utf-8", "replace")


def keep(target: str) -> None:
    """Replace what stands in tests/fuzz/corpus of a target by a few inputs that reached something new; findings stay."""
    kept = CORPUS / target
    kept.mkdir(exist_ok=True)
    for path in kept.glob("reached-*"):
        path.unlink()
    valid = set(seeds(target))
    found = sorted((FOLDER / target / "corpus").iterdir(), key=lambda path: (path.stat().st_size, path.name))
    chosen = [each for each in found if each.stat().st_size <= KEPT_BYTES_MAX and each.read_bytes() not in valid]
    for path in chosen[:: -(-len(chosen) // KEPT_MAX) or 1]:
        (kept / f"reached-{path.name[:12]}").write_bytes(path.read_bytes())


def last_traceback(log: str) -> str:
    """Return the lines about the finding."""
    at = log.rfind("Uncaught Python exception")
    return log[at if at >= 0 else -3000 :][:3000]


def _escaped(word: bytes) -> str:
    return "".join(chr(byte) if 32 <= byte < 127 and chr(byte) not in '"\\' else f"\\x{byte:02x}" for byte in word)


if __name__ == "__main__":
    sys.exit(main())
