"""Computed tables of the documents: what they are computed from, on small files."""

import yaml
from project import ROOT

from aurl.pipeline import documents, readme

SMALL = """
train:
  steps: null        # per epoch; paper: 390
  lr: 1.0e-2         # peak
  decay: 1.0e-2      # paper: 1e-4
  processes: 1       # paper: 8
  kind: random       # paper: three words here
loss:
  scale: 10.0        # paper: 10
"""


def test_settings_lists_what_differs(monkeypatch):
    monkeypatch.setattr(documents, "COMPARED", ("train", "loss"))
    large = SMALL.replace("null", "390").replace("lr: 1.0e-2", "lr: 0.05").replace("1.0e-2 ", "1.0e-4 ")
    files = {"params.yaml": SMALL, "params.paper.yaml": large}
    assert documents.settings(files.__getitem__).splitlines()[2:] == [
        "| `train.steps` | 390 | `390` | `null` |",
        "| `train.lr` | – | `0.05` | `0.01` |",
        "| `train.decay` | 1e-4 | `0.0001` | `0.01` |",
        "| `train.processes` | 8 | `1` | `1` |",
    ]


def test_cost_follows_from_the_measurements():
    params = yaml.safe_load((ROOT / "params.paper.yaml").read_text())
    params["train"] |= {"epochs": 2, "steps": 100, "batch": 810}  # 162,000 clips: one a second in the authors' time
    steps = "\n".join(["step,seconds,micro_batch,peak_gb,device", "1,90,4,7,cpu", "2,36,4,7,cpu", "3,18,4,7,cpu"])
    speeds = "\n".join(
        ["video,crop,per_core", "proxy,squash,4", "proxy,squash,2", "original,squash,0.5", "proxy,crop,9"]
    )
    files = {
        "params.paper.yaml": yaml.safe_dump(params),
        "reports/tables/paper_scale.csv": steps,
        "reports/tables/loader.csv": speeds,
        "reports/tables/decoding.csv": "video,way,kilobytes,seconds_to_make\nH.264 340x256,proxy,1000,3600\n",
    }
    text = documents.cost(files.__getitem__)
    for row in (
        "| one training | 200 steps, 162,000 clips |",
        "| 45 hours on 8 V100: 360 GPU hours, 1 clips a second |",
        "| 45 / M hours |",
        "| as measured on cpu | 2 hours, or 0 days, at 36 s a step |",
        "`train.micro_batch: 4` | 7.0 GB |",
        "| 0.5 from proxies, 2.0 from videos of 340x256 pixels |",
        "| 558,278 core hours, 558 GB |",
        "| 5,600 steps, without a backbone |",
    ):
        assert row in text, row


def test_folds_add_up_what_their_trainings_took():
    studies = {
        "one": {"verbs": {"fold": 1}},
        "more": {"verbs": {"fold": 1}, "run": {}},
        "other": {"clip": {"size": 16}},
    }
    files = {
        "params.yaml": yaml.safe_dump({"ablations": {"studies": studies}}),
        "reports/ablations/one/runs.csv": "variant,seconds\naurl,1800\ne2e,3600\n",
        "reports/ablations/more/runs.csv": "variant,seconds\naurl,3600\n",
    }
    said = "Behind this table are 3 trainings, which took 2.5 hours in sum.\n"
    assert documents.folds(files.__getitem__) == said
    files["params.yaml"] = yaml.safe_dump({"ablations": {"studies": {"other": {}}}})
    assert documents.folds(files.__getitem__) is None


def test_model_is_that_of_the_default():
    text = documents.model(lambda file: (ROOT / file).read_text())
    assert "| trained on | 120 verbs, 20 videos each; 4 more choose the epoch |" in text


def test_a_table_that_does_not_apply_is_left_as_it_is():
    def read(file):
        text = (ROOT / file).read_text()
        return text.replace("train: [verbs-seen]", "train: [verbs-unseen]").replace(
            "test: [v", "test: [verbs-seen] # [v"
        )

    assert documents.model(read) is None
    page = "before\n<!-- begin model() -->\nold\n<!-- end -->\nafter\n"
    assert readme.filled(page, read) == page
