"""The list of mutants is true to the code that it changes."""


def test_what_a_mutant_replaces_occurs_once(benchmark):
    mutants = benchmark("mutants")
    every = list(mutants.every([]))
    assert len(every) >= 100
    for module, tests, mutant in every:
        assert (mutants.ROOT / module).read_text().count(mutant.old) == 1, f"{module}: {mutant.old}"
        assert mutant.new != mutant.old and all((mutants.ROOT / test).exists() for test in tests)


def test_parts_choose_modules(benchmark):
    chosen = benchmark("mutants").every(["losses", "folds"])
    assert {module for module, *_ in chosen} == {"aurl/losses.py", "aurl/evaluation/folds.py"}
