"""The check before the first stage: all that a parameter file names exists, or one sentence says what is missing."""

import copy
import datetime
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import trees
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from project import ROOT

from aurl import UserError
from aurl.data import names
from aurl.data.readers import features
from aurl.pipeline.check import check
from aurl.project import config

DEFAULT = yaml.safe_load((ROOT / "params.yaml").read_text())
TEN = yaml.safe_load((ROOT / "params.paper.yaml").read_text())["sphere"]["classes"]
HALF = names.load("ucf101")[0][::2]


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    """Folders of empty files that are named like the videos of Kinetics-700, UCF101 and a set of one's own."""
    root = tmp_path_factory.mktemp("videos")
    labels = {name: names.load(name)[0] for name in ("kinetics700", "ucf101")} | {
        "own": ["hop", "run"],
        "odd": ["run", "xqzw"],
    }
    for name, own in labels.items():
        trees.touch(root / name, *(f"{label}/{label}{video}.mp4" for label in own for video in "12"))
    return root


@pytest.fixture
def project(tmp_path, monkeypatch, videos):
    """A function that writes parameters in a project with a data set of every kind, and returns the check's message."""
    for name in ("data/vectors/glove-6b-100d-actions.bin", "data/descriptions.yaml"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).symlink_to(ROOT / name)
    clips = (f"{label},{label}{video},0,10,train\n" for label in names.load("kinetics700")[0] for video in "12")
    (tmp_path / "kinetics.csv").write_text("label,youtube_id,time_start,time_end,split\n" + "".join(clips))
    for name, target in (("kinetics", "kinetics700"), ("ucf", "ucf101"), ("own", "own"), ("odd", "odd")):
        (tmp_path / name).symlink_to(videos / target)
    monkeypatch.chdir(tmp_path)
    values, seen = copy.deepcopy(DEFAULT), [f"{label}{k}" for k in range(20) for label in TEN]
    for name, count in {"one": 1, "two": 2, "three": 2}.items():
        features.save(tmp_path / f"{name}.npz", np.ones((200, count, 3)), TEN * 20, seen, [""] * 200)
    np.savez(tmp_path / "told.npz", pretraining=["kinetics400"])
    np.savez(tmp_path / "own.npz", names=["walk"], vectors=np.ones((1, 2)))
    (tmp_path / "data/embeddings").mkdir()
    (tmp_path / "data/embeddings/own.npz").symlink_to(tmp_path / "own.npz")
    (tmp_path / "lists").mkdir()
    video = next((tmp_path / "ucf/Archery").iterdir()).name
    for k, name in enumerate([video, video, "another.avi"], 1):
        (tmp_path / f"lists/testlist0{k}.txt").write_text(f"Archery/{name}\n")
    texts = {"bad.npz": "", "half.txt": "\n".join(HALF), "list.yaml": "- a\n", "few.txt": "walk 1 2\nrun 2 3\n"}
    for name, text in texts.items():
        (tmp_path / name).write_text(text)

    def said(kinetics=None, ucf=None, own=None, **sections):
        """``sections`` change the parameters. Each other argument changes one data set, and adds all three."""
        if kinetics is not None or ucf is not None or own is not None:
            about = {
                "kin": {"reader": "kinetics", "root": "kinetics"} | (kinetics or {}),
                "ucf": {"reader": "ucf101", "root": "ucf"} | (ucf or {}),
                "own": {"reader": "folders", "root": "own"} | (own or {}),
            }
            values["data"] = {"train": ["kin"], "test": ["ucf"], "datasets": about}
            values["sphere"] |= {"classes": TEN, "batch": 10}
        for name, change in sections.items():
            values[name] |= change
        text = yaml.safe_dump(values, sort_keys=False)
        (tmp_path / "params.yaml").write_text(text)
        monkeypatch.setattr(config, "read", lambda path: copy.deepcopy(values))
        try:
            check()
        except UserError as error:
            assert "\n" not in str(error)
            return str(error)

    return said


BIG = {"model": {"backbone": "mvit_v2_s"}}
WORDS = {"model": {"projection": "attributes", "semantic": "fixed"}}
LEARNED = {"model": {"score": "relation"}, "loss": {"terms": ["relation"]}}
DESCRIBED = {"aurl": {"model": {"describe": True}}}
SMALL = {"clip": {"frames": 13, "size": 208}}
UNDESCRIBED = "is true, but for the set kin: there is no description of "


def features_of(train, test=None, backbone="features", **sections):
    """Changes for sets of features in the files of these names."""
    sets = {name: {"reader": "features", "root": f"{name}.npz"} for name in (train, test or "one")}
    data = {"train": [train], "test": [test or "one"], "datasets": sets}
    return {"data": data, "model": {"backbone": backbone}, "sphere": {"classes": TEN, "variants": ["aurl"]}} | sections


@pytest.mark.parametrize(
    "change",
    [{},
     {"kinetics": {}},
     {"kinetics": {"annotations": "kinetics.csv"}, "own": {"root": "/nowhere"}},  # own is not used
     {"model": {"backbone": "r3d_18"}},
     {"variants": {"big": BIG}},  # it is not run
     {"variants": {"aurl": BIG | {"clip": {"frames": 16, "size": 224}}},
      "heads": {"backbone": "e2e", "variants": ["e2e"]}},
     {"model": {"backbone": "s3d"}, "clip": {"frames": 13, "size": 209}},
     features_of("two"),
     features_of("two", "three", run={"variants": ["aurl", "classifier", "attention"]}),
     {"text": {"describe": True}},
     {"ucf": {"classes": "half.txt"}, "own": {"reader": "ucf101", "root": "ucf", "classes": ["Archery", "Diving"]},
      "data": {"train": ["ucf"], "test": ["own"]}, "sphere": {"classes": HALF[:10]}, "train": {"batch": 51}},
     {"kinetics": {}, "train": {"batch": 700}, "heads": {"sweeps": {}}},
     {"kinetics": {}, "text": {"overlap": 0.01}, "train": {"batch": 674}, "heads": {"sweeps": {}}}],
)  # fmt: skip
def test_parameters_that_are_valid(project, monkeypatch, change):
    """No video is opened."""
    monkeypatch.setattr("av.open", lambda *_, **__: pytest.fail("a video was opened"))
    assert project(**change) is None


@pytest.mark.parametrize(
    ("change", "sentence"),
    [({"variants": {"aurl": BIG}},
      "in variant aurl, model.backbone mvit_v2_s needs clip.frames 16 and clip.size 224 exactly, not 8 "),
     ({"variants": {"aurl": SMALL}, "model": {"backbone": "s3d"}},
      "in variant aurl, model.backbone s3d needs clip.frames 13 and clip.size 209 or more, not 13 and"),
     ({"variants": {"aurl": WORDS}}, "sphere.variants names aurl, whose features are among all words: leave it out."),
     ({"variants": {"aurl": LEARNED}}, "sphere.variants names aurl, whose scores are no distances: leave it out."),
     ({"heads": {"variants": ["aurl", "url"]}},
      "heads.variants names url, whose clips or backbone are not those of aurl: leave it out."),
     ({"text": {"share": 0.5}, "heads": {"variants": ["aurl"], "sweeps": {"text.share": [1.0]}}},
      "heads.sweeps has the text.share 1.0, but no more than 0.5 was kept: raise text.share."),
     ({"sphere": {"batch": 2}, "train": {"processes": 2}},
      "with sphere.batch 2 in variant e2e, the parameters: train divides a batch of 2 videos into 2 "),
     ({"variants": {"own": {"train": {"lr": -1}}}}, "variants.own: train.lr is -1: "),  # though it does not run
     # paths
     ({"model": {"weights": "r.pth"}}, "in variant aurl, model.weights: there is no file r.pth: "),
     ({"kinetics": {"root": "kinetic"}}, "data.datasets.kin.root: there is no folder kinetic: "),
     ({"kinetics": {"annotations": ["kinetics.csv", "b.csv"]}},
      "data.datasets.kin.annotations: there is no file b.csv"),
     ({"text": {"vectors": "data"}}, "text.vectors: there is no file data: "),
     ({"text": {"descriptions": "x.yaml"}}, "text.descriptions: there is no file x.yaml"),
     (features_of("nowhere"), "data.datasets.nowhere.root: there is no file nowhere.npz: "),
     # features
     (features_of("bad"), "bad.npz cannot be read (EOFError): expected features"),
     (features_of("two", backbone="r2plus1d"),
      "model.backbone is r2plus1d in the variant aurl, but two has features: set it to features."),
     ({"model": {"backbone": "features"}},
      "model.backbone is features in the variant aurl, but pairs-seen has videos: set it to a video backbone, such"),
     ({"kinetics": {"reader": "features", "root": "two.npz"}},
      "data names kin, which has features, and ucf, which has videos: one model cannot see both, so take sets of one "),
     (features_of("two", run={"variants": ["aurl", "classifier", "attention"]}),
      "in variant attention, clip.segments is 2, but one has 1 of them for each video: compute features of more "),
     ({"data": {"datasets": {"told": {"reader": "features", "root": "told.npz", "pretraining": ["x"]}},
                "train": ["told"]}},
      "data.datasets.told.pretraining is x, but told.npz says kinetics400: leave it out."),
     ({"ucf": {"test_lists": "own"}}, "data.datasets.ucf.test_lists: own has no official splits (testlist01.txt "),
     ({"ucf": {"test_lists": "lists"}}, "data.datasets.ucf.test_lists: no video of the official split 3 is in "),
     # classes
     ({"own": {"names": "ucf110"}}, "data.datasets.own.names: there are no class names of 'ucf110', "),  # not used
     ({"ucf": {"classes": "x.txt"}}, "the class list x.txt cannot be read (No such file or directory): give a file"),
     ({"own": {"classes": ["hop"]}, "data": {"test": ["own"]}},
      'the test set own has one class, "hop", so that every guess is right: add another class, or take'),
     ({"text": {"overlap": 2.0}}, "text.overlap 2.0 leaves no training class of 360: lower it."),
     ({"sphere": {"classes": ["bouncing duck", "rolling hammer", "swinging bo"]}},
      'sphere.classes names \'swinging bo\', which is not a class of data.train; did you mean "swinging box"?'),
     ({"sphere": {"classes": ["bouncing duck", "rolling hammer", "soaring ball"]}},  # a class of verbs-unseen
      "sphere.classes names 'soaring ball', which is not a class of data.train"),
     ({"kinetics": {}, "text": {"overlap": 0.01}, "sphere": {"classes": [*TEN, "archery"]}},
      "sphere.classes names \"archery\", which text.overlap removes"),
     # words and class vectors
     ({"text": {"embeddings": "own.npz"}},
      "text.embeddings: the stages do not watch own.npz: copy or link it to data/embeddings."),
     ({"text": {"embeddings": "data/embeddings/own.npz"}},
      'text.embeddings: data/embeddings/own.npz has no vector of the class "'),
     ({"kinetics": {}, "variants": DESCRIBED}, f"model.describe of variant aurl {UNDESCRIBED}"),
     ({"variants": DESCRIBED, "text": {"descriptions": "list.yaml"}}, "the descriptions list.yaml are not `name: sent"),
     ({"own": {"root": "odd"}, "data": {"test": ["own"]}},
      'in own: data/vectors/glove-6b-100d-actions.bin has no vector for "xqzw" of class "xqzw": write the class with'),
     ({"text": {"vectors": "few.txt"}}, 'in pairs-seen: few.txt has no vector for "'),
     # numbers of videos: each class of kin has one to train on
     ({"kinetics": {}, "sphere": {"classes": TEN[:3], "batch": 4}},
      "sphere.batch is 4, but its classes have only 3 training videos: lower it."),
     ({"kinetics": {}, "train": {"batch": 701}},
      "train.batch is 701 in the variant aurl, but its classes have only 700 training videos: lower it."),
     ({"kinetics": {}, "train": {"batch": 675}, "text": {"overlap": 0.01}},
      "train.batch is 675 in the variant aurl, but its classes have only 674 training videos: lower it."),
     ({"kinetics": {}, "train": {"batch": 400}, "heads": {"variants": ["aurl"], "sweeps": {"text.share": [1.0, 0.5]}}},
      "train.batch is 400 for text.share 0.5 of heads.sweeps, but its classes have only 350 training videos"),
     ({"verbs": {"videos": 24, "val_videos": 23}, "train": {"batch": 361}, "sphere": {"batch": 10}},
      "train.batch is 361 in the variant aurl, but its classes have only 360 training videos: lower it.")],
)  # fmt: skip
def test_one_sentence_for_each_mistake(project, change, sentence):
    found = project(**change)
    assert found.startswith(f"params.yaml: {sentence}") and found[-1] in ".?", found


# --- on the command line ---------------------------------------------------------------------------


def command(*arguments, cwd):
    line = [sys.executable, "-m", "aurl.pipeline.check", *arguments]
    found = subprocess.run(line, cwd=cwd, capture_output=True, text=True)
    return found.returncode, found.stdout, found.stderr


def test_the_command_checks_the_file_and_leaves_a_stamp(tmp_path):
    stamp = tmp_path / "build" / "stamp"
    assert command("params.yaml", str(stamp), cwd=ROOT) == (0, "params.yaml is valid\n", "")
    assert stamp.read_bytes() == b"valid\n"


def test_the_command_says_what_is_wrong_in_one_line(project, tmp_path):
    project(train={"lr": -1})
    expected = "aurl: params.yaml: train.lr is -1: input should be greater than 0.\n"
    assert command("params.yaml", "stamp", cwd=tmp_path) == (1, "", expected)
    missing = "aurl: params.yaml cannot be read (No such file or directory): run from the project's root, or name the "
    assert command(cwd=tmp_path / "data") == (1, "", f"{missing}parameter file.\n")
    assert not (tmp_path / "stamp").exists()


# --- any value anywhere --------------------------------------------------------------------------------

RAW = copy.deepcopy(DEFAULT)
for few in ("run", "sphere", "heads"):
    RAW[few] |= {"variants": ["aurl", "e2e"]}
RAW["variants"] = {name: RAW["variants"][name] for name in ("aurl", "e2e")}
RAW["heads"]["backbone"] = "aurl"
RAW["ablations"] |= {"variants": None, "studies": {"other": {"verbs": {"fold": 1}}}}
RAW["data"]["datasets"] = {"own": {"reader": "folders", "root": "own", "annotations": None, "names": None}}
RAW["data"]["test"] = [*RAW["data"]["test"], "own"]
RAW["prepare"]["proxies"] = {"folder": "data/proxies", "side": 128, "keyframe": 16, "crf": 20}


def places(section, above=()):
    """Every place where something stands in the parameters: keys from the outermost inwards, and places in lists."""
    for key, value in section.items() if isinstance(section, dict) else enumerate(section):
        yield (*above, key)
        if isinstance(value, dict | list):
            yield from places(value, (*above, key))


ODD = st.one_of(
    st.sampled_from([10**30, -(10**30), 2**31, 2**63, 1e300, 1e-300, "x" * 5000, "ä" * 300, "a\nb", "\0", "../x", "<b>",
                     "=1+1", "$(id)", "-", "\ud800", b"\xff", datetime.date(2020, 1, 1)]),
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    st.recursive(
        st.integers(-1, 300) | st.text(max_size=3) | st.none(),
        lambda own: st.lists(own, max_size=3) | st.dictionaries(st.text(max_size=3) | st.integers(), own, max_size=3),
        max_leaves=5,
    ),
)  # fmt: skip


@settings(
    max_examples=300, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(place=st.sampled_from(list(places(RAW))), value=ODD, remove=st.booleans(), renamed=st.booleans())
def test_any_value_anywhere_passes_or_is_one_sentence(project, monkeypatch, place, value, remove, renamed):
    """Before any stage works, and never with a traceback."""
    raw = copy.deepcopy(RAW)
    *above, key = place
    section = raw
    for name in above:
        section = section[name]
    if remove and isinstance(section, dict):
        own = section.pop(key)
        if renamed:
            section[value if isinstance(value, str | int | float | None) else str(value)] = own
    else:
        section[key] = value
    monkeypatch.setattr(config, "read", lambda path: copy.deepcopy(raw))
    try:
        check()
    except UserError as error:
        assert str(error).startswith("params.yaml: ") and str(error)[-1] in ".?" and "\n" not in str(error)


def test_folders_of_this_machine_are_checked_and_watched(project, monkeypatch):
    project(own={})
    monkeypatch.setattr(config, "read", config.file.read)
    Path("data/local").mkdir()
    Path("params.local.yaml").symlink_to("data/local/params.yaml")
    check()
    Path("params.local.yaml").write_text("data: {datasets: {ucf: {root: /gone}}}")  # through the link
    with pytest.raises(UserError, match="data.datasets.ucf.root: there is no folder /gone"):
        check()
    Path("params.local.yaml").unlink()  # as an editor does that writes another file and renames it
    Path("params.local.yaml").write_text("data: {datasets: {ucf: {root: ucf}}}")
    with pytest.raises(UserError, match="is no link into data/local, which the stages watch: move it to data/local/p"):
        check()


def test_git_has_the_link_to_the_folders_of_this_machine():
    assert (ROOT / "params.local.yaml").is_symlink()
    assert str((ROOT / "params.local.yaml").readlink()) == "data/local/params.yaml"
    ignored = ["git", "check-ignore", "-q", "data/local/params.yaml"]
    assert subprocess.run(ignored, cwd=ROOT).returncode in (0, 128)  # 128: no repository
