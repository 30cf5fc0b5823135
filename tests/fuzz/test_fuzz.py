"""Goal: no bytes from outside or from a disk make a parser do anything but what it promises.

Method: the targets of `make fuzz`, here without atheris: everything in the corpus, and what Hypothesis makes of the valid inputs by
cutting, putting together and changing them. Findings of campaigns stand in tests/fuzz/corpus.
"""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.fuzz.seeds import WORDS, seeds
from tests.fuzz.targets import TARGETS

EXAMPLES = 250


@pytest.mark.parametrize("target", TARGETS)
def test_corpus_is_read_as_promised(target: str) -> None:
    inputs = seeds(target)
    assert len(inputs) > 1
    for data in inputs:
        TARGETS[target](data)


@pytest.mark.parametrize("target", TARGETS)
@settings(max_examples=EXAMPLES, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_changed_inputs_are_read_as_promised(target: str, data: st.DataObject) -> None:
    inputs = seeds(target)
    pieces = st.binary(max_size=8) | st.sampled_from([*WORDS.get(target, [b"\xff" * 8]), b"\0" * 8])
    changed = data.draw(st.sampled_from(inputs), "begun from")
    for at, removed, added in data.draw(st.lists(st.tuples(st.integers(0, 4000), st.integers(0, 12), pieces), max_size=4)):
        at %= len(changed) + 1
        changed = changed[:at] + added + changed[at + removed :]
    if data.draw(st.booleans()):
        other = data.draw(st.sampled_from(inputs))
        changed = changed[: data.draw(st.integers(0, len(changed)))] + other[data.draw(st.integers(0, len(other))) :]
    TARGETS[target](changed)
