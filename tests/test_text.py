"""Class names to vectors, and the class-overlap filter."""

import doctest
import struct
from pathlib import Path

import fasttext
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aurl import UserError, text

MODEL = Path(__file__).parents[1] / "data" / "vectors" / "glove-6b-100d-actions.bin"
NAMES = ["walk duck", "get up ring", "cartwheel table", "jump"]


@pytest.fixture(scope="module")
def vectors():
    return text.WordVectors.load(MODEL)


def test_doctests():
    assert doctest.testmod(text).failed == 0


def test_fasttext_does_not_normalise():
    """One drop-in package for fasttext gives unit vectors, which would hide that we normalise ourselves."""
    model = fasttext.load_model(str(MODEL))
    np.testing.assert_allclose(model.get_word_vector("walk")[:3], [0.20725, 0.84365, -0.076531], rtol=1e-5)
    norms = [np.linalg.norm(model.get_word_vector(word)) for word in ("walk", "get", "up", "duck")]
    assert np.ptp(norms) > 0.5


def test_embed_equals_a_naive_loop(vectors):
    model = fasttext.load_model(str(MODEL))
    naive = []
    for name in NAMES:
        total = [0.0] * 100
        for word in name.split(" "):
            vector = model.get_word_vector(word).astype(float)
            length = sum(x * x for x in vector) ** 0.5
            total = [t + x / length for t, x in zip(total, vector)]
        naive.append([t / len(name.split(" ")) for t in total])
    found = vectors.embed(NAMES)
    assert vectors.dim == 100 and found.dtype == np.float32 and found.shape == (4, 100)
    np.testing.assert_allclose(found, naive, atol=1e-6)


def test_embed_gives_the_mean_and_does_not_normalise_it():
    axes = {"x": np.array([3.0, 0]), "y": np.array([0, 0.5])}
    found = text.WordVectors(axes.__getitem__, 2, "axes").embed(["x y", "y", "x x y y"])
    np.testing.assert_allclose(found, [[0.5, 0.5], [0, 1], [0.5, 0.5]])


def test_word_order_and_capitals_do_not_matter(vectors):
    a, b = vectors.embed(["walk duck", "Duck  WALK"])
    np.testing.assert_allclose(a, b, atol=1e-7)


def test_substitution_stands_for_the_whole_name(vectors):
    rules = text.Rules({"situp": "sit up"})
    assert text.words("situp", rules) == ["sit", "up"] and text.words("situp duck", rules) == ["situp", "duck"]
    np.testing.assert_array_equal(vectors.embed(["situp"], rules), vectors.embed(["sit up"]))


def test_word_without_vector_is_named_with_its_class(vectors):
    with pytest.raises(UserError, match=r'"flauta" of class "play flauta".*"situp" of class "situp".*substitution'):
        vectors.embed(["walk duck", "play flauta", "situp"])
    with pytest.raises(UserError, match="and 4 more"):
        vectors.embed(["situp"] * 9)


def test_vector_that_is_not_a_number_is_no_vector():
    for number in (np.nan, np.inf):
        with pytest.raises(UserError, match="no vector"):
            text.WordVectors(lambda word: np.array([1, number]), 2, "broken").embed(["walk"])


def test_name_without_words_is_an_error(vectors):
    with pytest.raises(UserError, match='class name " "'):
        vectors.embed(["walk", " "])


def test_model_with_subwords_embeds_unknown_words(tmp_path):
    corpus, path = tmp_path / "corpus.txt", tmp_path / "subwords.bin"
    corpus.write_text("walking duck\n" * 20)
    model = fasttext.train_unsupervised(str(corpus), dim=4, minCount=1, minn=3, maxn=3, bucket=50, epoch=1, thread=1,
                                        verbose=0)
    rows = np.random.default_rng(0).normal(size=(53, 4)).astype(np.float32)  # 3 words, with </s>, and 50 subwords
    model.set_matrices(rows, rows[:3])  # training leaves rows that no word touches as it found the memory
    model.save_model(str(path))
    mean = rows[model.get_subwords("walker")[1]].mean(axis=0)
    np.testing.assert_allclose(text.WordVectors.load(path).embed(["walker"])[0], mean / np.linalg.norm(mean), rtol=1e-5)
    path.write_bytes(path.read_bytes()[:-400])  # of 896 bytes of matrices
    with pytest.raises(UserError, match="cut short"):
        text.WordVectors.load(path)


def test_files_that_are_not_models(tmp_path, capfd):
    whole = MODEL.read_bytes()
    for name, content, reason in [
        ("missing.bin", None, "does not exist"),
        ("empty.bin", b"", "not a fastText model"),
        ("text.bin", b"walk 0.1 0.2 0.3\n" * 50, "not a fastText model"),
        ("header.bin", whole[:40], "not a fastText model"),
        ("dictionary.bin", whole[:1000], "cut short"),
        ("cut.bin", whole[:-70_000], "cut short"),
        ("version.bin", whole[:4] + struct.pack("<i", 99) + whole[8:], "cannot be loaded by fastText"),
    ]:
        if content is not None:
            (tmp_path / name).write_bytes(content)
        with pytest.raises(UserError, match=reason) as caught:
            text.WordVectors.load(tmp_path / name)
        assert name in str(caught.value) and "\n" not in str(caught.value)
    with pytest.raises(UserError, match="is a folder"):
        text.WordVectors.load(tmp_path)
    assert capfd.readouterr() == ("", "")


def test_overlapping_finds_the_nearest_test_class():
    train = (["far", "same", "near"], np.array([[0, -2.0], [5.0, 0], [1.0, 0.1]]))
    test = (["up", "right"], np.array([[0, 1.0], [0.1, 0]]))
    table = text.overlapping(train, test, threshold=0.05)
    assert table["class"].tolist() == ["same", "near", "far"]
    assert table["nearest"].tolist() == ["right", "right", "right"]
    assert table["removed"].tolist() == [True, True, False]
    np.testing.assert_allclose(table["distance"], [0, 1 - 1 / np.sqrt(1.01), 1], atol=1e-12)


def test_overlapping_at_zero_keeps_identical_classes(vectors):
    """Rounding must not make a class nearer than identical."""
    found = vectors.embed(NAMES)
    table = text.overlapping((NAMES, found), (NAMES, found), threshold=0)
    assert (table["distance"] >= 0).all() and not table["removed"].any()
    assert text.overlapping((NAMES, found), (NAMES, found), threshold=1e-6)["removed"].all()


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1), st.floats(0, 1))
def test_overlapping_equals_a_naive_loop(seed, threshold):
    rng = np.random.default_rng(seed)
    train, test = rng.normal(size=(7, 3)), rng.normal(size=(5, 3))
    table = text.overlapping((list("abcdefg"), train), (list("vwxyz"), test), threshold).set_index("class")
    assert table["distance"].is_monotonic_increasing
    for name, a in zip("abcdefg", train):
        distance, nearest = min((1 - a @ b / np.sqrt((a @ a) * (b @ b)), other) for other, b in zip("vwxyz", test))
        assert table.loc[name, "nearest"] == nearest
        assert np.isclose(table.loc[name, "distance"], distance)
        assert table.loc[name, "removed"] == (distance < threshold)
