"""One process of a campaign: fuzzes one target with atheris until its time is over or there is a finding.

Called by campaign.py as `python -m tests.fuzz.worker TARGET LIBFUZZER-ARGUMENTS...`. Needs atheris: `pip install .[fuzz]`.
"""

from __future__ import annotations

import sys

import atheris

with atheris.instrument_imports(include=["dfs"]):
    from tests.fuzz.targets import TARGETS


def main() -> None:
    """Fuzz the target that is named first; the other arguments are libFuzzer's."""
    name = sys.argv.pop(1)
    atheris.Setup(sys.argv, TARGETS[name])
    atheris.Fuzz()


if __name__ == "__main__":
    main()
