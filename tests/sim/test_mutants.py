"""Goal: the list of known bugs stays in step with the code, so that `make mutants` means something.
Method: each finds its place.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.sim.mutants import MUTATIONS, Mutation, copy_tree, mutate


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("tree")
    copy_tree(target)
    return target


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.name)
def test_mutation_has_its_one_place_in_code_that_stays_code(tree: Path, mutation: Mutation) -> None:
    file = tree / mutation.file
    before = file.read_text()
    try:
        mutate(tree, mutation)
        compile(file.read_text(), mutation.file, "exec")
        assert file.read_text() != before
    finally:
        file.write_text(before)


def test_there_are_at_least_sixteen() -> None:
    assert len({mutation.name for mutation in MUTATIONS}) >= 16
