"""The check of an accelerator, on this CPU and at a tiny size."""

import matplotlib.pyplot as plt
import pytest
from project import ROOT


def test_every_row_is_measured(benchmark, monkeypatch):
    module = benchmark("accelerator")
    with monkeypatch.context() as patched:  # processes could not import a benchmark that a test loaded
        patched.setattr(
            module,
            "speed_of_processes",
            lambda params, steps, *_: module.clips_per_second(module.our_steps, params, steps)[0],
        )
        table = module.measure(tiny=True, minutes=10_000)
    rows = ["float32", "bf16", "bf16, compiled", "released loop", "kill and resume", "two processes"]
    assert list(dict.fromkeys(table["what"])) == rows
    assert table.loc[table["what"] == "float32", "batch"].tolist() == [4, 8]
    assert table.set_index("what").loc["kill and resume", "found"] == "the same bytes"
    speeds = table.dropna(subset="clips_per_second")
    assert (speeds["clips_per_second"] > 0).all() and (speeds["share_of_peak"] > 0).all()
    assert (speeds["hours"] * speeds["clips_per_second"] * 3600).to_numpy() == pytest.approx(58_500 * 256)
    assert module.markdown(table).count("\n| ") == len(rows)
    figure = module.draw(table)
    assert len(figure.axes[0].lines) == 5
    plt.close(figure)


def test_rows_that_the_time_does_not_allow_are_left_out(benchmark):
    module = benchmark("accelerator")
    assert module.largest(module.our_steps, module.settings(True), 1, 4, 8, deadline=0) == []


def test_a_full_memory_ends_the_search(benchmark):
    module = benchmark("accelerator")

    def make(params):
        if params.train.batch > 8:
            raise module.torch.OutOfMemoryError
        return lambda: None

    found = module.largest(make, module.settings(True), 1, 4, 64, deadline=float("inf"))
    assert [row["batch"] for row in found] == [4, 8]


def test_no_figure_of_an_accelerator_is_claimed():
    """Until someone ran the benchmark on one: then this test goes, and docs/paper-scale.md shows the table."""
    assert not (ROOT / "reports/tables/accelerator.csv").exists()
    assert "We measured no number on this page on an accelerator." in (ROOT / "docs/paper-scale.md").read_text()
