"""The list of mutants is true to the code that it changes."""

import mutants
import pytest

EVERY = list(mutants.every([]))


@pytest.mark.parametrize("module", mutants.MUTANTS)
def test_what_a_mutant_replaces_occurs_once(module):
    text = (mutants.ROOT / module).read_text()
    for own, tests, mutant in EVERY:
        if own == module:
            assert text.count(mutant.old) == 1 and mutant.new != mutant.old, mutant.old
            assert all((mutants.ROOT / test).exists() for test in tests)


def test_parts_choose_modules():
    assert {module for module, *_ in mutants.every(["losses", "folds"])} == {"aurl/losses.py", "aurl/folds.py"}
    assert len(EVERY) >= 40
