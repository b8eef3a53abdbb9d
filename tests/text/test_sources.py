"""Class vectors from a file or a text encoder, and what is refused in one sentence."""

import sys
import zipfile
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from errors import error_message
from project import ROOT, chapter, link_data
from project import write as write_params
from scipy.io import savemat
from scipy.sparse import csc_matrix

from aurl import UserError, text
from aurl.data.manifest import COLUMNS
from aurl.pipeline.check import check as check_params
from aurl.project import config, paths
from aurl.rendered import sets as built_in
from aurl.rendered.motions import VERBS

NAMES = ["HorseRiding", "brush_hair", "walk"]
VECTORS = np.array([[3, 4], [0, 1], [1, 0.5]], np.float32)


def write(path, names=NAMES, vectors=VECTORS, **others):
    """A file of class vectors of the kind that its extension says."""
    if path.suffix == ".npz":
        np.savez(path, names=names, vectors=vectors, **others)
    elif path.suffix == ".mat":
        savemat(path, {"att": vectors.T, "allclasses_names": np.array([[name] for name in names], object)})
    else:
        path.write_text("".join(f"{name},{','.join(map(str, row))}\n" for name, row in zip(names, vectors)))
    return path


# --- files -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("ending", [".npz", ".csv", ".mat"])
def test_a_file_gives_its_vectors_in_the_order_asked_for(tmp_path, ending):
    source = text.open_source(embeddings=write(tmp_path / f"own{ending}"))
    found = source.embed(["walk", "horse riding", "Brush Hair", "walk"])
    assert found.dtype == np.float32 and source.dim == 2 and source.column == "class"
    np.testing.assert_array_equal(found, VECTORS[[2, 0, 1, 2]])  # not normalized
    assert source.embed([]).shape == (0, 2)


def test_a_csv_may_have_a_header_and_names_with_commas(tmp_path):
    (tmp_path / "own.csv").write_text('\ufeffclass,v1,v2\r\n"rock, paper",1,2\r\n\r\nwalk,3,4\r\n', newline="")
    assert text.Embeddings(tmp_path / "own.csv").embed(["walk", "rock, paper"]).tolist() == [[3, 4], [1, 2]]


def test_an_attribute_matrix_may_be_sparse(tmp_path):
    names = np.array([[name] for name in NAMES], object)
    savemat(tmp_path / "own.mat", {"att": csc_matrix(VECTORS.T), "allclasses_names": names})
    np.testing.assert_array_equal(text.Embeddings(tmp_path / "own.mat").embed(NAMES), VECTORS)


def test_a_missing_class_is_named(tmp_path):
    source = text.Embeddings(write(tmp_path / "own.csv"))
    said = error_message(source.embed, ["walk", "wlak", "fly"])
    assert 'own.csv has no vector of the class "wlak", "fly"; did you mean "walk"?: add vectors' in said
    assert 'class "a0", "a1", "a2", "a3", "a4" and 2 more' in error_message(source.embed, [f"a{k}" for k in range(7)])


@pytest.mark.parametrize(
    "name, options, reason",
    [
        ("twice.npz", {"names": ["walk", "Walk", "run"]}, 'has the class "Walk" twice'),
        ("nan.csv", {"vectors": [[1, 2], [np.nan, 1], [1, 1]]}, 'has a vector that is not finite for "brush_hair"'),
        ("large.npz", {"vectors": VECTORS.astype(float) * 1e300}, 'that is not finite for "HorseRiding"'),
        ("zero.mat", {"vectors": VECTORS * [[1], [0], [1]]}, 'has a vector of zeros for "brush_hair"'),
        ("short.npz", {"vectors": VECTORS[:2]}, r"has 3 names and vectors of shape \(2, 2\)"),
        ("flat.npz", {"vectors": VECTORS[:, 0]}, r"vectors of shape \(3,\)"),
        ("texts.npz", {"vectors": np.full((3, 2), "a")}, "and type <U1: it needs one vector of numbers"),
        ("wide.csv", {"vectors": [[1, 2], [1, 2, 3], [1, 2]]}, "class 2 has 3 numbers instead of 2"),
        ("objects.npz", {"names": np.array(NAMES, object)}, "objects.npz cannot be read"),
    ],
)
def test_files_that_are_refused(tmp_path, name, options, reason):
    with pytest.raises(UserError, match=reason):
        text.Embeddings(write(tmp_path / name, **options))


def test_files_of_another_kind(tmp_path):
    write(tmp_path / "own.npz")
    (tmp_path / "cut.npz").write_bytes((tmp_path / "own.npz").read_bytes()[:-30])
    (tmp_path / "cut.mat").write_bytes(write(tmp_path / "own.mat").read_bytes()[:300])
    (tmp_path / "empty.csv").touch()
    (tmp_path / "semicolons.csv").write_text("walk;1;2\nrun;3;4\n")
    (tmp_path / "slip.csv").write_text("walk,1,2x\nrun,3,4\n")
    np.savez(tmp_path / "other.npz", features=VECTORS)
    np.savez(tmp_path / "text.npz", names=NAMES)
    with zipfile.ZipFile(tmp_path / "text.npz", "a") as file:
        file.writestr("vectors", "no array")
    for name, reason in {
        "own.txt": "is no file of class vectors: give one that ends in .npz, .csv, .mat",
        "gone.npz": "there is no file ",
        "cut.npz": "cannot be read",
        "cut.mat": "cannot be read",
        "empty.csv": "cannot be read (it is empty)",
        "semicolons.csv": "cannot be read (its first line has no comma between a name and numbers)",
        "slip.csv": "cannot be read (could not convert string to float: '2x')",
        "other.npz": "lacks 'names",
        "text.npz": "vectors of shape () and type |S8: it needs one vector of numbers for each name",
    }.items():
        assert reason in error_message(text.Embeddings, tmp_path / name)


def test_a_file_extends_itself_by_its_encoder_only_when_asked(tmp_path, encoder):
    path = write(tmp_path / "own.npz", encoder="aurl.text.encoders:sentence")
    assert 'no vector of the class "fly"' in error_message(text.Embeddings(path).embed, ["fly"])
    encoder.setattr("aurl.text.encoders.sentence", lambda texts: np.array([[0, len(one)] for one in texts]))
    assert text.open_source(embeddings=path, extend=True).embed(["fly", "walk"]).tolist() == [[0, 1], [1, 0.5]]
    encoder.setattr("aurl.text.encoders.sentence", lambda texts: np.ones((len(texts), 3)))
    said = error_message(text.open_source(embeddings=path, extend=True).embed, ["fly"])
    assert "cannot be computed: aurl.text.encoders:sentence gives 3 numbers instead of 2." in said
    foreign = write(tmp_path / "foreign.npz", encoder="os:system")
    said = error_message(text.open_source(embeddings=foreign, extend=True).embed, ["fly"])
    assert said.endswith("cannot be computed: os:system is not this project's, so it is not run.")


def test_the_committed_vectors_have_every_word_and_class():
    source = text.Embeddings(ROOT / "data/embeddings/all-minilm-l6-v2.npz")
    firsts, things = [*VERBS, *built_in.COLORS], built_in.THINGS
    found = source.embed([*firsts, *things, *(f"{first} {thing}" for thing in things for first in firsts)])
    assert found.shape == (156 + 6 + 156 * 6, 384)
    assert len(np.unique(found, axis=0)) == len(found)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-3)
    assert (ROOT / "data/embeddings/all-minilm-l6-v2.npz").stat().st_size < 2e6


@pytest.mark.parametrize("change", ["committed", "encoder"])
def test_chapter_2_takes_other_class_vectors_by_one_line(tmp_path, encoder, change):
    link_data(tmp_path)
    committed = "data/embeddings/all-minilm-l6-v2.npz"
    line = {"committed": {"embeddings": committed}, "encoder": {"encoder": "mine_for_tests:letters"}}[change]
    write_params(tmp_path, {"text": line})
    sets = {name: own for name, own in built_in.classes(0).items() if name != "colors-seen"}  # not of the default
    rows = [
        dict.fromkeys(COLUMNS, 1) | {"set": name, "class": verb, "words": verb, "status": "ok"}
        for name, own in sets.items()
        for verb in own
    ]
    pd.DataFrame(rows).to_csv(paths.MANIFEST, index=False)
    check_params()
    chapter("02_embed_class_names")
    source = text.open_source(**config.load().text.source)
    for name in sets:
        classes, vectors = text.load_classes(paths.CLASS_VECTORS, name)
        assert classes == sets[name]
        np.testing.assert_array_equal(vectors, source.embed(classes))
    words, vectors = text.load_classes(paths.CLASS_VECTORS, paths.WORDS)
    assert words == sorted({word for label in sets["pairs-seen"] for word in label.split()})
    assert vectors.shape == (126, source.dim)
    assert len(pd.read_csv(paths.OVERLAP)) == 360 and len(pd.read_csv(paths.KINETICS_OVERLAP)) == 700


# --- encoders --------------------------------------------------------------------------------------


@pytest.fixture
def encoder(tmp_path, monkeypatch):
    """A module of a text encoder in the working directory: lengths of texts."""
    (tmp_path / "mine_for_tests.py").write_text(
        "import numpy as np\n"
        "def lengths(texts, factor=1):\n"
        "    return [[len(one), float(factor)] for one in texts]\n"
        "def letters(texts):\n"
        "    return np.array([[one.count(chr(97 + k)) for k in range(26)] for one in texts])\n"
        "def fails(texts):\n"
        "    raise ValueError('no\\nluck')\n"
        "def nan(texts):\n"
        "    return np.full((len(texts), 3), np.nan)\n"
        "def flat(texts):\n"
        "    return np.ones(len(texts))\n"
        "def fewer(texts):\n"
        "    return np.ones((1, 3))\n"
        "def ragged(texts):\n"
        "    return np.ones((len(texts), len(texts[0])))\n"
        "def opposite(texts):\n"
        "    return [[1, -1] if one.startswith('a ') else [-1, 1] for one in texts]\n"
        "def extreme(texts, value):\n"
        "    return np.full((len(texts), 2), float(value))\n"
        "def imaginary(texts):\n"
        "    return np.full((len(texts), 2), 1j)\n"
        "def leaves(texts):\n"
        "    raise SystemExit(3)\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if entry != str(tmp_path)])
    yield monkeypatch
    sys.modules.pop("mine_for_tests", None)


def test_an_encoder_reads_phrases_in_templates_and_averages_unit_vectors(encoder):
    source = text.open_source(encoder="mine_for_tests:lengths", templates=["{}", "a {} of {}"])
    units = []
    for phrase in ("horse riding", "walk"):
        pairs = np.array([[len(phrase), 1], [len(f"a {phrase} of {phrase}"), 1]])
        units.append((pairs / np.linalg.norm(pairs, axis=1, keepdims=True)).mean(axis=0))
    found = source.embed(["HorseRiding", "walk"])
    np.testing.assert_allclose(found, units, rtol=1e-6)
    assert found.dtype == np.float32 and source.dim == 2 and source.column == "class"
    with_factor = text.open_source(encoder="mine_for_tests:lengths(4)").embed(["walk"])
    np.testing.assert_allclose(with_factor, [[0.5**0.5, 0.5**0.5]], rtol=1e-6)


def test_descriptions_are_averaged_in(encoder):
    source = text.Encoder("mine_for_tests:lengths")
    found = text.embed_described(source, ["walk"], {"walk": "move on foot"})
    np.testing.assert_allclose(found, (source.embed(["walk"]) + source.embed(["move foot"])) / 2)


@pytest.mark.parametrize(
    "function, reason",
    [("fails", "the encoder mine_for_tests:fails failed (ValueError: no): correct it."),
     ("nan", 'has a vector that is not finite for "walk": compute it again.'),
     ("flat", "returned an array of shape (2,) for 2 inputs: return (2, W)."),
     ("fewer", "returned an array of shape (1, 3) for 2 inputs: return (2, W)."),
     ("imaginary", "the encoder mine_for_tests:imaginary failed (TypeError: Cannot cast array"),
     ("leaves", "the encoder mine_for_tests:leaves failed (SystemExit: 3): correct it."),
     ("none", "the encoder mine_for_tests:none cannot be imported (AttributeError: module 'mine_for_tests' has no")],
)  # fmt: skip
def test_encoders_that_are_refused(encoder, function, reason):
    assert reason in error_message(lambda: text.Encoder(f"mine_for_tests:{function}").embed(["walk", "run"]))
    ragged = text.Encoder("mine_for_tests:ragged", ["{}", "a {}"])
    assert "returned vectors of 4 and of 6 numbers: let all have one length." in error_message(ragged.embed, ["walk"])
    assert 'class name "!" has no word' in error_message(text.Encoder("mine_for_tests:lengths").embed, ["!"])
    assert "no_such_module" in error_message(text.Encoder, "no_such_module:f")
    opposite = text.Encoder("mine_for_tests:opposite", ["{}", "a {}"])
    said = 'the mean over text.templates of the encoder mine_for_tests:opposite has a vector of zeros for "walk"'
    assert said in error_message(opposite.embed, ["walk"])


@pytest.mark.parametrize("value", [1e30, 1e-30])
def test_lengths_beyond_float32_are_normalized(encoder, value):
    np.testing.assert_allclose(text.Encoder(f"mine_for_tests:extreme({value})").embed(["walk"]), [[0.5**0.5] * 2])


@pytest.mark.parametrize(
    "code, reason",
    [("def f(:", "(SyntaxError: "), ("1 / 0", "(ZeroDivisionError: division by zero)"), ("exit(2)", "(SystemExit: 2)")],
)
def test_a_module_that_cannot_be_imported(tmp_path, monkeypatch, code, reason):
    (tmp_path / "faulty_for_tests.py").write_text(code)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.syspath_prepend(tmp_path)
    said = error_message(text.Encoder, "faulty_for_tests:f")
    assert said.startswith("the encoder faulty_for_tests:f cannot be imported " + reason)


def test_what_a_user_types_names_a_source():
    assert text.source_named("a.b:c(d/e)") == {"encoder": "a.b:c(d/e)"}
    assert text.source_named("x/att_splits.mat") == {"embeddings": "x/att_splits.mat"}
    assert text.source_named("data/glove.txt") == {"vectors": "data/glove.txt"}


# --- the check -------------------------------------------------------------------------------------


def check(source, classes=("walk", "HorseRiding"), **model):
    model = SimpleNamespace(**{"describe": False, "projection": "mlp"} | model)
    settings = SimpleNamespace(source=source, embeddings=source.get("embeddings"))
    text.check_source("params.yaml", settings, {"own": list(classes)}, {"e2e": model})


def test_the_check_names_the_parameter(tmp_path, encoder):
    own = {"embeddings": str(write(tmp_path / "own.npz"))}
    check({"vectors": "nowhere"})
    check(own)
    check(own, ["walk"], projection="attributes")
    check({"encoder": "mine_for_tests:lengths"}, describe=True)
    assert error_message(check, own, ["fly"]).startswith("params.yaml: text.embeddings: ")
    assert "has no vector of the class" in error_message(check, own, ["fly"])
    said = error_message(check, {"encoder": "mine_for_tests:lengths"}, ["run", "walk", "fly"])
    assert 'the classes "run" and "fly" of own have the same vector: give them two, or remove one class.' in said
    assert error_message(check, {"encoder": "mine_for_tests:nan"}).startswith("params.yaml: text.encoder: the encoder")
    assert error_message(check, own, ["brush_hair"], projection="attributes").startswith("params.yaml: variant e2e: ")
    assert error_message(check, own, describe=True).endswith("no descriptions: set model.describe to false.")
