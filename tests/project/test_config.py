"""``params.yaml`` itself, and one clear sentence for every way to get it wrong."""

import copy
import difflib
import inspect
import pickle
import re
import shutil
from pathlib import Path

import pytest
import yaml
from dvc.utils.serialize import modify_yaml
from errors import error_message
from project import ROOT

from aurl import UserError
from aurl.data.prepare import READERS
from aurl.project import config
from aurl.project.config.sections import ANNOTATED

PARAMS = ROOT / "params.yaml"


@pytest.fixture
def raw():
    return yaml.safe_load(PARAMS.read_text())


@pytest.fixture
def write(tmp_path, raw):
    """Write ``params.yaml`` with one value changed or removed, and return its path."""

    def make(place=None, value=None, remove=False):
        if place:
            *sections, key = place.split(".")
            section = raw
            for name in sections:
                section = section[name]
            if remove:
                del section[key]
            else:
                section[key] = value
        (tmp_path / "params.yaml").write_text(yaml.safe_dump(raw))
        return tmp_path / "params.yaml"

    return make


def said(*arguments, **options):
    """The message of the UserError, which is one sentence."""
    message = error_message(config.load, *arguments, **options)
    assert message.endswith((".", "?")) and not re.search(r"[.!?] [A-Z]", message)
    return message


# --- the committed file ----------------------------------------------------------------------------


def test_the_committed_file_is_valid_with_every_variant(raw):
    assert {"aurl", "contrastive", "e2e"} <= set(raw["variants"])
    for variant in raw["variants"]:
        config.load(PARAMS, variant)
    base = config.load(PARAMS)
    assert set(base.loss.terms) == {"semantic", "visual", "synthetic"} and base.loss.scale == 10
    assert set(base.sphere.variants) <= set(base.run.variants)


def test_every_value_has_a_comment():
    """It is above the parameter. Variants and studies need none, because the base explains their parameters."""
    text, leaves = PARAMS.read_text(), 0

    def check(node, name):
        nonlocal leaves
        for key, value in node.value:
            place = f"{name}{key.value}"
            if isinstance(value, yaml.MappingNode) and value.value and place != "ablations.studies":
                if place != "variants":
                    check(value, f"{place}.")
                continue
            leaves += 1
            line = text.splitlines()[key.start_mark.line - 1]
            assert re.fullmatch(r"\s*# \S.{2}.*", line), (
                f"{place} (line {key.start_mark.line + 1}) has lost its comment"
            )

    check(yaml.compose(text), "")
    sections = [field.annotation for name, field in config.Sections.model_fields.items() if name != "variants"]
    assert leaves == sum(len(section.model_fields) for section in sections)


@pytest.mark.parametrize("name", ["params.yaml", "params.paper.yaml"])
def test_dvc_changes_one_line(tmp_path, name):
    """`dvc exp run -S` writes the file anew: block lists, comments and empty values stay as they are."""
    before = (ROOT / name).read_text()
    assert max(map(len, before.splitlines())) <= 120
    assert not re.search(r"^[^#\n]*[:-] [\[{]\w", before, re.MULTILINE)
    (tmp_path / name).write_text(before)
    with modify_yaml(tmp_path / name) as values:
        values["loss"]["scale"] = 5
    lines = difflib.ndiff(before.splitlines(), (tmp_path / name).read_text().splitlines())
    assert [line for line in lines if line[0] in "+-"] == ["-   scale: 10.0", "+   scale: 5"]


# --- studies ---------------------------------------------------------------------------------------


def test_a_study_runs_once_for_each_fold_and_another_adds_to_it(write):
    studies = {
        "words": {"folds": [0, 3], "text": {"overlap": 0.5}, "heads": {"seeds": 2}},
        "more": {"adds_to": "words", "run": {"seeds": [7]}},
        "one": {"verbs": {"size": 32}},
    }
    found = config.studies(path := write("ablations.studies", studies))
    assert {name: (own.key, own.base) for name, own in found.items()} == {
        "words-0": ("words", None), "words-3": ("words", None), "words-0-more": ("more", "words-0"),
        "words-3-more": ("more", "words-3"), "one": ("one", None),
    }  # fmt: skip
    base, more = (config.study(name, path) for name in ("words-3", "words-3-more"))
    assert base["verbs"]["fold"] == 3 and base["heads"]["seeds"] == 2 and more["run"]["seeds"] == [7]
    differing = {name for name in base if base[name] != more[name]}
    assert differing <= {"run", "heads", "sphere"} and more["heads"]["seeds"] != 2
    assert base["ablations"]["studies"] == {} and config.study("one", path)["verbs"]["size"] == 32


@pytest.mark.parametrize(
    ("own", "sentence"),
    [({"a": {"folds": [5]}}, "ablations.studies.a.folds.0 is 5: input should be less than 5."),
     ({"a": {"folds": [1, 1]}}, "ablations.studies.a.folds names 1 twice: remove one."),
     ({"a": {}, "b": {"adds_to": "a"}}, "ablations.studies.b adds to a, whose folds and other parameters it shares: "),
     ({"a": {}, "b": {"adds_to": "a", "run": {}, "clip": {}}}, "ablations.studies.b adds to a, whose folds and "),
     ({"b": {"adds_to": "a", "run": {}}}, "ablations has the study b, which adds to a: name another study"),
     ({"b": {"adds_to": "b", "run": {}}}, "ablations has the study b, which adds to b: name another study"),
     ({"a": {"folds": [1]}, "a-1": {}}, "ablations.studies.a-1 makes a second study a-1: rename it.")],
)  # fmt: skip
def test_a_mistake_in_a_study_is_named(write, own, sentence):
    path = write("ablations.studies", own)
    assert f"params.yaml: {sentence}" in error_message(config.studies, path)


def test_a_study_replaces_what_has_keys_of_its_own(write, raw):
    raw["prepare"]["proxies"] = {"folder": "small", "side": 32, "keyframe": 4, "crf": 20}
    studies = {"one": {"heads": {"sweeps": {"model.dim": [4]}}}, "two": {"prepare": {"proxies": None}}}
    path = write("ablations.studies", studies)
    assert config.study("one", path)["heads"]["sweeps"] == {"model.dim": [4]}
    assert config.study("two", path)["prepare"]["proxies"] is None


# --- variants and sections -------------------------------------------------------------------------


def test_a_variant_is_laid_over_the_base(write, raw):
    variants = {
        "aurl": {},
        "short": {"train": {"epochs": 3}, "loss": {"terms": ["semantic"]}, "generator": {"num_classes": 7}},
    }
    raw["run"]["variants"] = raw["ablations"]["variants"] = raw["sphere"]["variants"] = ["aurl"]
    raw["heads"] |= {"backbone": "aurl", "variants": None}
    path = write("variants", variants)
    base, short = config.load(path), config.load(path, "short", seed=5)
    assert short.train.epochs == 3 and short.loss.terms == ["semantic"] and short.generator.num_classes == 7
    assert short.train.model_dump() == base.train.model_dump() | {"epochs": 3}  # a section's other values stay
    assert short.model == base.model and base.train.epochs == raw["train"]["epochs"]
    assert (short.variant, short.seed, base.variant, base.seed) == ("short", 5, None, 0)


def test_sections_gives_these_and_no_others():
    params = config.load(PARAMS, "contrastive", 2, sections=["loss", "train"])
    assert set(vars(params)) == {"loss", "train", "variant", "seed"} and params.loss.terms == ["semantic"]
    assert set(vars(config.load(PARAMS))) == set(config.Params.model_fields)


def test_params_are_typed_and_can_be_pickled_and_copied():
    params = config.load(PARAMS, "e2e", 3, sections=["loss", "train"])
    assert isinstance(params, config.Params) and inspect.signature(config.load).return_annotation is config.Params
    for twin in (pickle.loads(pickle.dumps(params)), copy.deepcopy(params)):
        assert twin == params and vars(twin) == vars(params) and not hasattr(twin, "model")


def test_replace_gives_checked_parameters_and_leaves_the_others():
    params = config.load(PARAMS, "e2e", 3, sections=["train", "model"])
    other = params.replace(train={"lr": 0.125}, model={"dim": 3})
    assert (other.train.lr, other.model.dim, other.variant, other.seed) == (0.125, 3, "e2e", 3)
    assert other.train.model_dump() == params.train.model_dump() | {"lr": 0.125} and params.train.lr != 0.125
    for change, expected in {
        "lr": r"train\.lr is -1: input should be greater than 0\.",
        "epocks": r"train\.epocks is not a parameter; did you mean epochs\?",
    }.items():
        with pytest.raises(UserError, match=f"^the parameters: {expected}$"):
            params.replace(train={change: -1})


def test_the_whole_file_is_checked_whatever_sections_are_read(write):
    assert "evaluate.bootstrap is 1" in said(write("evaluate.bootstrap", 1), sections=["loss"])


# --- mistakes --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "place, value, expected",
    [
        ("train.epoch", 3, "train.epoch is not a parameter; did you mean epochs?"),
        ("trian", {}, "trian is not a parameter; did you mean train?"),
        ("train.xyzzy", 3, "train.xyzzy is not a parameter."),
        ("variants.e2e.lose", {}, "variants.e2e.lose is not a parameter; did you mean loss?"),
        ("variants.e2e.loss.scael", 1, "variants.e2e.loss.scael is not a parameter; did you mean scale?"),
    ],
)
def test_unknown_keys(write, place, value, expected):
    assert expected in said(write(place, value), "e2e")


@pytest.mark.parametrize(
    "place, value, reason",
    [("train.lr", 0, "greater than 0"), ("train.lr", float("nan"), "finite number"),
     ("train.batch", 1, "greater than or equal to 2"), ("train.optimizer", "adamax", "'adamw', 'adam' or 'sgd'"),
     ("train.ema", 1.0, "less than 1"), ("train.rendezvous", "node 1", "should match pattern"),
     ("verbs.size", 97, "multiple of 2"), ("verbs.fold", 5, "less than 5"), ("data.train", [], "at least 1 item"),
     ("text.descriptions", "", "at least 1 character"), ("text.describe", "data/descriptions.yaml", "valid boolean"),
     ("train.epochs", "ten", "valid integer"), ("train.epochs", 1.5, "valid integer"), ("train", None, "valid dict"),
     ("run.seeds", 0, "valid list"), ("variants", ["aurl"], "valid dict"), ("variants.e2e", None, "valid dict")],
)  # fmt: skip
def test_values_out_of_range_or_of_the_wrong_type(write, place, value, reason):
    message = said(write(place, value))
    assert re.search(rf"params\.yaml: {place} is {re.escape(repr(value))}: .*{reason}", message)


def test_class_vectors_have_one_source():
    values = yaml.safe_load((ROOT / "params.yaml").read_text())["text"]
    own = config.Sections.model_fields["text"].annotation.model_validate
    assert own(values).source == {"vectors": values["vectors"]}
    assert own(values | {"embeddings": "a.npz"}).source == {"embeddings": "a.npz"}
    assert own(values | {"encoder": "a.b:c(d)"}).source == {"encoder": "a.b:c(d)", "templates": ["{}"]}
    for change in ({"embeddings": "a.npz", "encoder": "a:b"}, {"embeddings": "a.npz", "describe": True}):
        with pytest.raises(ValueError, match="to (null|false)"):
            own(values | change)


@pytest.mark.parametrize(
    "change, reason",
    [({"projection": "attributes"}, "whose features are means of word vectors: set semantic to fixed."),
     ({"projection": "attributes", "semantic": "fixed", "describe": True},
      "whose words are not described: set describe to false.")],
)  # fmt: skip
def test_attributes_are_words(write, raw, change, reason):
    path = write("variants.e2e", {"model": {"semantic": "learned"} | change})
    assert f"model has the projection attributes, {reason}" in said(path, "e2e")


@pytest.mark.parametrize("change", [{"model": {"score": "relation"}}, {"loss": {"terms": ["relation", "visual"]}}])
def test_a_relation_is_learned_by_its_term(write, change):
    sentence = said(write("variants.e2e", change), "e2e")
    assert "variants.e2e: model.score is " in sentence and sentence.endswith("so name both or neither.")


@pytest.mark.parametrize(
    "value, expected",
    [
        ({"train": {"lr": -1}}, "variants.e2e: train.lr is -1: input should be greater than 0"),
        ({"train": 3}, "variants.e2e.train must be parameters to change, as `section: {name: value}`, not 3"),
        ({"train": None}, "variants.e2e.train must be parameters to change"),
    ],
)
def test_wrong_values_in_a_variant(write, value, expected):
    path = write("variants.e2e", value)
    config.load(path, "aurl")  # another variant still loads
    assert expected in said(path, "e2e")


FOLDERS = {"reader": "folders", "root": "x"}
TWICE = [("run.seeds", [1, 1]), ("loss.terms", ["semantic", "semantic"]), ("data.train", ["pairs-seen"] * 2)]


@pytest.mark.parametrize(
    "place, value, expected",
    [("text.templates", [], "at least 1 item"),
     ("text.templates", ["a video"], "pattern"),
     ("text.encoder", "encoders", "pattern"),
     ("verbs.val_videos", 24, "verbs holds back all 15 videos of a class for validation: lower val_videos."),
     ("loss.terms", ["semantic", "visaul"], "loss.terms.1 is 'visaul'"),
     ("data.train", ["pairs-sen"], "data.train names 'pairs-sen', which is not under data.datasets; there are "
      "pairs-seen, pairs-unseen, verbs-unseen, colors-seen; did you mean pairs-seen?"),
     ("data.train", ["verbs-unseen", "pairs-seen"], "data.train and data.test both name verbs-unseen: its classes"),
     ("run.seeds", [0, -1], "run.seeds.1 is -1"),
     ("run.seeds", [True], "run.seeds.0 is True: input should be "),
     *((place, value, f"{place} names {value[0]} twice: remove one.") for place, value in TWICE),
     ("heads.backbone", "frozen", "heads.backbone names 'frozen', which is not under run.variants"),
     ("sphere.variants", ["e2"], "sphere.variants names 'e2', which is not under run.variants; there are "),
     ("data.datasets", {"pairs-seen": FOLDERS},
      "data.datasets.pairs-seen has the name of a set of the built-in benchmark"),
     ("prepare.proxies", {"folder": "p", "size": 128, "keyframe": 16, "crf": 20},
      "prepare.proxies.size is not a parameter; did you mean side?")],
)  # fmt: skip
def test_values_that_do_not_fit_are_named(write, place, value, expected):
    assert expected in said(write(place, value))


@pytest.mark.parametrize("place", ["train.lr", "train", "variants", "run.variants"])
def test_missing_keys(write, place):
    assert f"params.yaml: {place} is missing" in said(write(place, remove=True))


def test_unknown_variants(write, raw):
    assert re.search(
        r"no variant 'contrastiv' .*there are aurl, .*contrastive, .*e2e, e2e_linear, .*; did you mean contrastive\?",
        said(PARAMS, "contrastiv"),
    )
    assert "ablations.variants names 'alignmnt', which is not under `variants`" in said(
        write("ablations.variants", ["alignmnt"])
    )
    write("ablations.variants", None)
    assert "run.variants names 'aulr'" in said(write("run.variants", ["aulr"]), "e2e")


@pytest.mark.parametrize("name", ["my variant", "../x", "$(x)", "a\n", "ä", "", "-p", "a" * 41, 7, None])
def test_names_are_safe_in_paths_and_shells(write, raw, name):
    raw["variants"][name] = {}
    assert f"has the key {name!r}, which cannot name a variant: use a letter, then letters, digits and" in said(write())
    del raw["variants"][name]
    found = said(write("data.datasets", {name: {"reader": "folders", "root": "x"}}))
    assert f"data.datasets has the key {name!r}, which cannot name a data set: use a letter or digit" in found


@pytest.mark.parametrize("name", ["a", "A1_b", "a" * 36])
def test_names_that_are_safe(write, raw, name):
    raw["data"]["datasets"] = {f"{name}-1.b": {"reader": "folders", "root": "x"}}
    assert name in config.load(write(f"variants.{name}", {}), name).variants


# --- data sets -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "about, expected",
    [({"reader": "ucf101", "annotations": "x.csv"}, "x has annotations, which the reader ucf101 does not take: remove"),
     ({"reader": "folders", "test_lists": "x"},
      "x has test_lists, which only ucf101 and hmdb51 have: remove them, or set names to one of these."),
     ({"reader": "ucf101", "pretraining": []}, "x has pretraining, which is of the encoder of features: remove it"),
     ({"reader": "activitynet"}, "x needs one path as its annotations, of ActivityNet's JSON file."),
     ({"reader": "kinetics", "rot": 1}, "x.rot is not a parameter; did you mean root?"),
     ({"reader": "kinetic"}, "x.reader is 'kinetic': input should be 'activitynet', ")],
)  # fmt: skip
def test_data_sets(write, about, expected):
    assert f"params.yaml: data.datasets.{expected}" in said(write("data.datasets", {"x": {"root": "r"} | about}))


def test_annotations_are_for_the_readers_that_take_them(write):
    takes = {name for name, read in READERS.items() if "annotations" in inspect.signature(read).parameters}
    assert takes == set(ANNOTATED)
    for reader, files in {"kinetics": None, "activitynet": "x.json"}.items():
        config.load(write("data.datasets", {"x": {"reader": reader, "root": "r", "annotations": files}}))


def test_a_variant_keeps_to_its_sections(write):
    sentence = said(write("variants.e2e", {"verbs": {"size": 32}}), "e2e")
    assert "variants.e2e.verbs: a variant cannot change the section verbs" in sentence
    assert "model, loss, generator, train" in sentence


def test_files_that_cannot_be_read(tmp_path):
    path = tmp_path / "params.yaml"
    assert "params.yaml cannot be read (No such file or directory)" in said(path)
    assert "cannot be read (Is a directory)" in said(tmp_path)
    for content, reason in {
        b"": "holds no parameters",
        b"[1, 2]": "holds no parameters",
        b"run:\n  seeds: [0\ndata: 1\n": "not valid YAML at line 3",
        b"run:\n\tseeds: 0\n": "not valid YAML at line 2",
        b"run: \x00\n": "not valid YAML",
        "# Größe\n".encode("latin-1") + b"run: 1\n": "not valid YAML",
    }.items():
        path.write_bytes(content)
        assert f"params.yaml {'is ' if 'not' in reason else ''}{reason}" in said(path)


# --- YAML ------------------------------------------------------------------------------------------


def test_a_repeated_key_is_named_with_its_lines(tmp_path):
    lines = PARAMS.read_text().splitlines()
    first = next(i for i, line in enumerate(lines) if line.startswith("  lr: "))
    path = tmp_path / "params.yaml"
    path.write_text("\n".join([*lines[: first + 1], "  'lr': 1.0", *lines[first + 1 :]]))
    assert said(path).endswith(
        f"params.yaml is not valid YAML at line {first + 2}: the key 'lr' stands in line {first + 1} already, so "
        "remove one."
    )


def test_anchors_and_merge_keys_work(tmp_path, raw):
    del raw["variants"]
    raw["ablations"]["variants"], raw["heads"]["backbone"] = None, "aurl"
    raw["run"]["variants"] = ["aurl", "e2e"]
    path = tmp_path / "params.yaml"
    path.write_text(
        yaml.safe_dump(raw)
        + """
variants:
  aurl: {}
  contrastive: &base
    train: &rate {lr: 0.5, epochs: 2}
  e2e:
    <<: *base
    train: {<<: *rate, epochs: 3}
  third:
    train: {<<: [*rate, {lr: 1.0, batch: 8}], epochs: 4}
"""
    )
    found = config.load_all(path)
    assert (found["e2e"].train.lr, found["e2e"].train.epochs, found["contrastive"].train.epochs) == (0.5, 3, 2)
    assert (found["third"].train.lr, found["third"].train.batch, found["third"].train.epochs) == (0.5, 8, 4)


# --- the project's root ----------------------------------------------------------------------------


def test_enter_project_finds_the_root(tmp_path, monkeypatch):
    (tmp_path / "params.yaml").touch()
    below = tmp_path / "notebooks" / "drafts"
    below.mkdir(parents=True)
    for start in (below, tmp_path / "notebooks", tmp_path):
        monkeypatch.chdir(start)
        config.enter_project()
        assert Path.cwd() == tmp_path


def test_enter_project_outside_stays_and_says_so(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=rf"^no params\.yaml in {re.escape(str(tmp_path))} or above it: [^.]*\.$"):
        config.enter_project()
    assert Path.cwd() == tmp_path


# --- folders of this machine ------------------------------------------------------------------------


@pytest.fixture
def with_sets(write, tmp_path):
    """A parameter file with a data set, beside which a test writes params.local.yaml; both as a function of that."""
    path = write("data.datasets", {"mine": {"reader": "folders", "root": "data/mine"}})

    def load(text):
        (tmp_path / "params.local.yaml").write_text(text)
        return config.load(path).data.datasets["mine"]

    return load


def test_folders_of_this_machine_are_laid_over_the_others(with_sets, tmp_path):
    assert with_sets("# nothing yet\n").root == "data/mine"
    found = with_sets("data:\n  datasets:\n    mine: {root: /fast/mine}\n")
    assert (found.root, found.reader) == ("/fast/mine", "folders")
    shutil.copy(tmp_path / "params.yaml", tmp_path / "params.paper.yaml")
    assert config.load(tmp_path / "params.paper.yaml").data.datasets["mine"].root == "data/mine"


@pytest.mark.parametrize(
    ("text", "sentence"),
    [("train: {lr: 1}", "may change data.datasets and nothing else: write other values into params.yaml."),
     ("data: {datasets: {mine: {reader: ucf101}}}",
      "data.datasets.mine may change root, annotations, test_lists and nothing else."),
     ("data: {datasets: {mime: {root: a}}}", "data.datasets.mime is not a set of params.yaml; did you mean mine?"),
     ("data: {datasets: {mine: {root: 3}}}", "data.datasets.mine.root"), ("data: [", "is not valid YAML")],
)  # fmt: skip
def test_other_values_of_this_machine_are_refused(with_sets, text, sentence):
    assert sentence in error_message(with_sets, text)
