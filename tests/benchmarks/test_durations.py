"""The time of the pipeline's stages, on a pipeline of two stages that DVC really runs."""

from pathlib import Path

from aurl import paths


def test_every_stage_is_timed(benchmark):
    Path(".dvc").mkdir()
    Path(".dvc/config").write_text("[core]\n    no_scm = true\n    analytics = false\n    check_update = false\n")
    Path("dvc.yaml").write_text("""stages:
  check: {cmd: echo checked > checked, outs: [checked]}
  01_first: {cmd: test ! -e build/trainings && mkdir -p build/trainings && touch build/trainings/new, deps: [checked]}
""")
    kept = paths.TRAININGS / "finished"
    kept.parent.mkdir(parents=True)
    kept.write_text("a training that took two days")
    benchmark("pipeline").main(["--table", "durations.md"])
    lines = Path("durations.md").read_text().splitlines()
    assert [line.split(" | ")[0] for line in lines[2:]] == ["| 01_first", "| checking and stripping", "| **all**"]
    assert list(paths.TRAININGS.iterdir()) == [kept]  # it was out of reach meanwhile, and is back


def test_durations_reach_from_one_start_to_the_next(benchmark, capsys):
    lines = [
        "Running stage 'check':\n",
        "> true\n",
        "Running stage '03_train@aurl-0':\n",
        "Running stage 'sphere@aurl':\n",
    ]
    pipeline = benchmark("pipeline")
    seconds = pipeline.durations(lines, clock=iter([0, 6, 126, 156]).__next__)
    assert seconds == {"check": 6, "03_train@aurl-0": 120, "sphere@aurl": 30}
    assert capsys.readouterr().out == "".join(lines)
    assert pipeline.markdown(seconds).splitlines()[2:] == [
        "| 03_train@aurl-0 | 2.0 |",
        "| sphere@aurl | 0.5 |",
        "| checking and stripping | 0.1 |",
        "| **all** | 2.6 |",
    ]
