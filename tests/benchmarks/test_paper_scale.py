"""The benchmark of the paper's size, at a tiny one."""

from project import ROOT

from aurl.project import config


def test_every_step_is_timed(benchmark, tmp_path, monkeypatch):
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
