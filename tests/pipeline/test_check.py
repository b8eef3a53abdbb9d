"""The check before the first stage: all that a parameter file names exists, or one sentence says what is missing."""

import copy
import datetime
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from aurl import UserError
from aurl.pipeline.check import check
from aurl.project import config

ROOT = Path(__file__).parents[2]
TEN = yaml.safe_load((ROOT / "params.paper.yaml").read_text())["sphere"]["classes"]


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A function that writes parameters in a project with a data set of every kind, and returns the check's message."""
    for name in ("data/vectors/glove-6b-100d-actions.bin", "data/descriptions.yaml", "kinetics.csv"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).symlink_to(ROOT / name) if (ROOT / name).exists() else (tmp_path / name).touch()
    for name in ("kinetics", "ucf", "own"):
        (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path)
    values = yaml.safe_load((ROOT / "params.yaml").read_text())

    def said(kinetics=None, ucf=None, own=None, **sections):
        """``sections`` change the parameters. Each other argument changes one data set, and adds all three."""
        if kinetics is not None or ucf is not None or own is not None:
            about = {
                "kin": {"reader": "kinetics", "root": "kinetics", "names": "kinetics700"} | (kinetics or {}),
                "ucf": {"reader": "ucf101", "root": "ucf", "names": "ucf101"} | (ucf or {}),
                "own": {"reader": "folders", "root": "own"} | (own or {}),
            }
            values["data"] = {"train": ["kin"], "test": ["ucf"], "datasets": about}
            values["sphere"]["classes"] = TEN
        for name, change in sections.items():
            values[name] |= change
        (tmp_path / "params.yaml").write_text(yaml.safe_dump(values, sort_keys=False))
        try:
            check()
        except UserError as error:
            assert "\n" not in str(error)
            return str(error)

    return said


def test_the_default_and_the_papers_sets_pass(project):
    assert project() is None
    assert project(kinetics={"annotations": "kinetics.csv"}) is None


def test_backbones_that_cannot_take_the_clips(project):
    assert project(model={"backbone": "r3d_18"}) is None
    big = {"model": {"backbone": "mvit_v2_s"}}
    assert project(variants={"big": big}) is None  # it is not run
    said = (
        "params.yaml: in variant aurl, model.backbone mvit_v2_s needs clip.frames 16 and clip.size 224 exactly, not 8 "
    )
    assert project(variants={"aurl": big}).startswith(said)
    whole = {"aurl": big | {"clip": {"frames": 16, "size": 224}}}
    assert project(variants=whole, heads={"variants": ["e2e"]}) is None  # aurl's heads would not fit the other backbone
    said = "params.yaml: in variant aurl, model.backbone s3d needs clip.frames 13 and clip.size 209 or more, not 13 and"
    small = {"clip": {"frames": 13, "size": 208}}
    assert project(variants={"aurl": small}, model={"backbone": "s3d"}).startswith(said)
    assert project(variants={"aurl": {}}, clip={"frames": 13, "size": 209}) is None


def test_words_in_videos_cannot_be_drawn_on_a_sphere(project):
    words = {"model": {"projection": "attributes", "semantic": "fixed"}}
    said = "params.yaml: sphere.variants names aurl, whose features are among all words: leave it out."
    assert project(variants={"aurl": words}) == said
    learned = {"model": {"score": "relation"}, "loss": {"terms": ["relation"]}}
    said = "params.yaml: sphere.variants names aurl, whose scores are no distances: leave it out."
    assert project(variants={"aurl": learned}) == said


def test_heads_and_spheres_that_could_not_be_trained(project):
    said = "params.yaml: heads.variants names url, whose clips or backbone are not those of classifier: leave it out."
    assert project(heads={"variants": ["aurl", "url"]}) == said
    said = "params.yaml: heads.sweeps has the text.share 1.0, but no more than 0.5 was kept: raise text.share."
    assert project(text={"share": 0.5}, heads={"variants": ["aurl"], "sweeps": {"text.share": [1.0]}}) == said
    said = "params.yaml: with sphere.batch 2 in variant e2e, the parameters: train divides a batch of 2 videos into 2 "
    assert project(text={"share": 1.0}, sphere={"batch": 2}, train={"processes": 2}).startswith(said)


def test_weights_that_do_not_exist(project):
    said = "params.yaml: in variant aurl, model.weights: there is no file r.pth: "
    assert project(model={"weights": "r.pth"}).startswith(said)


def test_paths_that_do_not_exist(project):
    assert project(kinetics={"root": "kinetic"}).startswith(
        "params.yaml: data.datasets.kin.root: there is no folder kinetic: "
    )
    assert "data.datasets.ucf.root: there is no folder kinetics.csv" in project(ucf={"root": "kinetics.csv"})
    assert "data.datasets.kin.annotations: there is no file b.csv" in project(
        kinetics={"annotations": ["kinetics.csv", "b.csv"]}
    )
    assert "text.vectors: there is no file data: " in project(kinetics={}, text={"vectors": "data"})
    default = "data/vectors/glove-6b-100d-actions.bin"
    assert "text.descriptions: there is no file x.yaml" in project(text={"vectors": default, "descriptions": "x.yaml"})


def test_class_vectors_lie_where_the_stages_watch(project):
    np.savez("own.npz", names=["walk"], vectors=np.ones((1, 2)))
    said = "params.yaml: text.embeddings: the stages do not watch own.npz: copy or link it to data/embeddings."
    assert project(text={"embeddings": "own.npz"}) == said
    Path("data/embeddings").mkdir()
    Path("data/embeddings/own.npz").symlink_to(Path("own.npz").absolute())
    said = project(text={"embeddings": "data/embeddings/own.npz"})
    assert said.startswith('params.yaml: text.embeddings: data/embeddings/own.npz has no vector of the class "')


def test_sets_that_are_not_used_may_be_elsewhere(project):
    assert project(own={"root": "/nowhere"}) is None


def test_features_and_their_backbone(project):
    Path("ucf.npz").touch()
    both = {name: {"reader": "features", "root": "ucf.npz"} for name in ("kin", "ucf")}
    model = yaml.safe_load(Path(ROOT / "params.yaml").read_text())["model"]
    fixed = {"train": ["kin"], "test": ["ucf"], "datasets": both}
    assert project(data=fixed, model={"backbone": "features"}) is None
    assert project(data=fixed, model=model) == (
        "params.yaml: model.backbone is r2plus1d in the variant aurl, but kin has features: set it to features."
    )
    both["kin"]["root"] = "nowhere.npz"
    assert "data.datasets.kin.root: there is no file nowhere.npz: " in project(data=fixed)
    mixed = {"kin": {"reader": "features", "root": "ucf.npz"}, "ucf": {"reader": "ucf101", "root": "ucf"}}
    assert project(data={"train": ["kin"], "test": ["ucf"], "datasets": mixed}) == (
        "params.yaml: data names kin, which has features, and ucf, which has videos: one model cannot see both, so "
        "take sets of one kind."
    )
    videos = {"train": ["verbs-seen"], "test": ["verbs-unseen"], "datasets": {}}
    assert project(data=videos, model={"backbone": "features"}) == (
        "params.yaml: model.backbone is features in the variant aurl, but verbs-seen has videos: set it to a video "
        "backbone, such as r2plus1d."
    )


def test_features_have_the_segments_that_variants_see(project):
    np.savez("one.npz", features=np.ones((2, 1, 3)), labels=["a", "b"])
    np.savez("two.npz", features=np.ones((2, 2, 3)), labels=["a", "b"])
    sets = {name: {"reader": "features", "root": f"{name}.npz"} for name in ("one", "two")}
    run = {"variants": ["aurl", "classifier", "attention"]}
    sections = {"model": {"backbone": "features"}, "run": run, "sphere": {"variants": ["aurl"]}}
    assert project(data={"train": ["two"], "test": ["one"], "datasets": sets}, **sections) == (
        "params.yaml: in variant attention, clip.segments is 2, but one has 1 of them for each video: compute features "
        "of more segments, or leave the variant out."
    )
    sets["one"]["root"] = "two.npz"
    assert project(data={"train": ["two"], "test": ["one"], "datasets": sets}) is None


def test_misspelled_names(project):
    assert "data.datasets.kin.names: there are no class names of 'kinetics70', only of" in project(
        kinetics={"names": "kinetics70"}
    )
    assert "did you mean ucf101?" in project(own={"names": "ucf110"})  # checked even for a set that is not used


def test_classes_of_the_sphere_are_trained_on(project):
    classes = ["bouncing", "rolling", "swingin"]
    assert project(sphere={"classes": classes}) == (
        "params.yaml: sphere.classes names 'swingin', which is not a class of data.train; did you mean 'swinging'?"
    )
    assert project(sphere={"classes": [*classes[:2], "Zumba"]}).endswith(
        "'Zumba', which is not a class of data.train: take classes that are trained on."
    )
    unseen = ["bouncing", "rolling", "soaring"]  # a class of verbs-unseen
    assert "sphere.classes names 'soaring', which is not a class of data.train" in project(sphere={"classes": unseen})
    assert "names 'zumbaa', which is not a class of data.train; did you mean 'zumba'?" in project(
        {}, sphere={"classes": [*TEN[:3], "zumbaa"]}
    )


def test_classes_of_a_set_without_names_are_for_chapter_2_to_check(project):
    project({})
    assert project(data={"train": ["kin", "own"]}, sphere={"classes": ["one", "two", "three"]}) is None
    # With `classes`, the folders' names are the classes.
    about = {"reader": "kinetics", "root": "kinetics", "names": "kinetics700", "classes": 3}
    assert project(data={"train": ["kin"], "datasets": {"kin": about, "ucf": about}, "test": ["ucf"]}) is None


def test_classes_without_a_description(project):
    assert project(text={"describe": True}) is None
    found = project({}, text={"describe": True})
    assert found.startswith("params.yaml: text.describe is true, but for the set kin there is no description of ")
    found = project({}, text={"describe": False}, variants={"aurl": {"model": {"describe": True}}})
    said = "params.yaml: model.describe of variant aurl is true, but for the set kin there is no description of "
    assert found.startswith(said)
    Path("own.yaml").write_text("- a\n")
    assert "own.yaml are not `name: sentence`" in project(text={"descriptions": "own.yaml"})


def test_a_fault_of_a_variant_that_does_not_run(project):
    assert project(variants={"own": {"train": {"lr": -1}}}).startswith("params.yaml: variants.own: train.lr is -1: ")


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
    assert command(cwd=tmp_path / "data") == (
        1,
        "",
        "aurl: params.yaml cannot be read (No such file or directory): run from the project's root, or name the "
        "parameter file.\n",
    )
    assert not (tmp_path / "stamp").exists()


# --- any value anywhere --------------------------------------------------------------------------------

RAW = yaml.safe_load((ROOT / "params.yaml").read_text())
for few in ("run", "sphere", "heads"):
    RAW[few] |= {"variants": ["aurl", "e2e"]}
RAW["variants"] = {name: RAW["variants"][name] for name in ("aurl", "e2e")}
RAW["heads"]["backbone"] = "aurl"
RAW["ablations"] |= {"variants": None, "studies": {"other": {"verbs": {"fold": 1}}}}
RAW["data"]["datasets"] = {"own": {"reader": "folders", "root": "data", "annotations": None, "names": None}}
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
