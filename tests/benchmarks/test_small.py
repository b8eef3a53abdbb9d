"""Every benchmark of one table, at a tiny size, writes all of its rows; `conftest` gives it a folder of its own."""

import runpy
import shutil
import sys
import sysconfig
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from project import ROOT

from aurl import figures, text
from aurl.project import config
from aurl.rendered import sets

pytestmark = pytest.mark.usefixtures("in_process")
LOCK = """
lock-version = "1.0"
[[packages]]
name = "both"
wheels = [{{url = "https://x/both-1-py3-none-any.whl", size = 7}}, {{url = "https://x/both-1-{own}.whl", size = 10}},
          {{url = "https://x/both-1-cp399-cp399-any.whl", size = 1000}}]
sdist = {{url = "https://x/both-1.tar.gz", size = 5}}
[[packages]]
name = "source"
sdist = {{url = "https://x/source-1.tar.gz", size = 200}}
[[packages]]
name = "elsewhere"
marker = "sys_platform == 'nowhere'"
wheels = [{{url = "https://x/elsewhere-1-py3-none-any.whl", size = 4000}}]
"""


@pytest.mark.parametrize(
    ("name", "table", "steps", "sizes"),
    [("evaluation", "evaluation", 6,
      {"SETS": {"a": (60, 6, 2), "b": (30, 5, 3)}, "SEEN": 8, "DIM": 16, "BOOTSTRAP": 100}),
     ("heads", "heads_speed", 4, {"VIDEOS": 60, "CLASSES": 4, "HELD_BACK": 2, "DIM": 8, "BATCH": 16, "WORDS": 6})],
)  # fmt: skip
def test_every_step_is_timed(benchmark, monkeypatch, name, table, steps, sizes):
    shutil.copy(ROOT / "params.yaml", "params.yaml")
    module = benchmark(name)
    for size, value in sizes.items():
        monkeypatch.setattr(module, size, value)
    monkeypatch.setattr("sys.argv", [name])
    module.main()
    found = pd.read_csv(f"reports/tables/{table}.csv")
    assert len(found) == steps and found["step"].iloc[-1] == "all"
    assert (found[found.columns.intersection(["seconds", "minutes"])] >= 0).all(axis=None)
    assert Path(f"reports/tables/{table}.md").read_text().count("\n") == steps + 2


def test_steps_of_the_papers_size_are_timed(benchmark, tmp_path, monkeypatch):
    module = benchmark("paper_scale")
    monkeypatch.setattr(module, "CLASSES", 5)
    monkeypatch.setattr(module, "FILES", 2)
    params = config.load(ROOT / "params.paper.yaml", variant="aurl").replace(
        model={"width": 4, "hidden": 8, "word_hidden": 8, "dim": 8},
        clip={"frames": 2, "size": 16},
        train={"steps": 8, "batch": 12, "micro_batch": 4},
        compute={"threads": 1, "precision": "float32", "channels_last": "never", "workers": 0},
    )
    times, peak = module.measure(params, tmp_path, 4)
    assert len(times) == 4 and min(times) > 0 and 0.1 < peak < 20


def test_rendering_is_timed(benchmark, monkeypatch):
    videos = sets.videos
    monkeypatch.setattr(sets, "videos", lambda *given: videos(*given)[:2])
    row = benchmark("rendering").measure(16, frames=4)
    assert list(row) == ["size", "videos/s", "draw ms", "encode ms"]
    assert row["size"] == 16 and all(value > 0 for value in row.values())


@pytest.mark.skipif(sys.platform != "linux", reason="memory is measured with what Linux reports")
def test_the_cost_of_losses_is_measured(benchmark, monkeypatch):
    cost = benchmark("cost")
    monkeypatch.setattr(cost, "CLASSES", [40, 80])
    monkeypatch.setattr(cost, "LARGE", 40)
    monkeypatch.setattr(cost, "SETTINGS", {"released, U = C": ("released", None, 80)})
    cost.main()
    table = pd.read_csv("reports/tables/cost.csv")
    assert list(table["classes"]) == [40, 80] and (table["ms"] > 0).all() and (table["mb"] >= 0).all()
    assert "| 80 | " in Path("reports/tables/cost.md").read_text()
    assert Path("reports/figures/cost.png").is_file()


def test_the_exponent_of_a_cost_is_the_power_of_c(benchmark):
    classes = np.array([1_000, 3_000, 10_000, 30_000])
    rows = pd.DataFrame({"classes": classes, "ms": np.where(classes < 3_000, 7.0, 0.01 * classes**2.0)})
    assert benchmark("cost").exponent(rows, "ms") == pytest.approx(2)


def test_download_counts_what_pip_takes_here(benchmark):
    """The wheel that pip would take counts, once, and no package of another system."""
    python, platform = f"cp3{sys.version_info.minor}", sysconfig.get_platform().replace("-", "_").replace(".", "_")
    own = f"{python}-{python}-{platform}"
    assert benchmark("installation").download(LOCK.format(own=own)) == 210


@pytest.mark.parametrize("name", ["cost", "decoding"])
def test_committed_pictures_are_those_of_their_tables(benchmark, name):
    picture = figures.picture(benchmark(name).draw(pd.read_csv(ROOT / f"reports/tables/{name}.csv")))
    assert picture.data == (ROOT / f"reports/figures/{name}.png").read_bytes()


def test_embeddings_have_the_committed_names_and_the_same_bytes_every_time(benchmark, tmp_path, monkeypatch):
    """With an encoder that needs no package."""
    embeddings = benchmark("embeddings")
    monkeypatch.setattr("aurl.text.encoders.sentence", lambda texts: np.array([[len(one), 1] for one in texts]))
    for name in ("a.npz", "b.npz"):
        embeddings.main(tmp_path / name)
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()
    committed = text.Embeddings(ROOT / "data/embeddings/all-minilm-l6-v2.npz")
    found = text.Embeddings(tmp_path / "a.npz")
    assert found.names == committed.names and found.encoder == committed.encoder
    length = len("an orange duck")
    expected = np.array([length, 1]) / np.hypot(length, 1)
    np.testing.assert_allclose(found.embed(["orange duck"])[0], expected, atol=1e-3)


@pytest.mark.parametrize("path", sorted((ROOT / "benchmarks").glob("*.py")), ids=lambda path: path.stem)
def test_help_measures_nothing(path, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", [path.name, "--help"])
    monkeypatch.syspath_prepend(path.parent)  # as for a script
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(path), run_name="__main__")
    assert ended.value.code == 0 and capsys.readouterr().out.startswith("usage: ") and not list(tmp_path.iterdir())
