"""Class names to vectors, and the class-overlap filter."""

import fasttext
import numpy as np
import pytest
from errors import error_message
from hypothesis import given, settings
from hypothesis import strategies as st
from project import GLOVE, ROOT

import aurl.text.vectors
from aurl import UserError, text
from aurl.rendered import sets
from aurl.rendered.motions import VERBS

NAMES = ["walk duck", "get up ring", "cartwheel table", "jump"]


@pytest.fixture(scope="module")
def vectors():
    return text.WordVectors.load(GLOVE)


def test_fasttext_does_not_normalize():
    """One drop-in package for fasttext gives unit vectors, which would hide that we normalize ourselves."""
    model = fasttext.load_model(str(GLOVE))
    np.testing.assert_allclose(model.get_word_vector("walk")[:3], [0.20725, 0.84365, -0.076531], rtol=1e-5)
    norms = [np.linalg.norm(model.get_word_vector(word)) for word in ("walk", "get", "up", "duck")]
    assert np.ptp(norms) > 0.5


def test_embed_equals_a_naive_loop(vectors):
    model = fasttext.load_model(str(GLOVE))
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


def test_embed_gives_the_mean_and_does_not_normalize_it():
    axes = {"x": np.array([3.0, 0]), "y": np.array([0, 0.5])}
    found = text.WordVectors(axes.__getitem__, 2, "axes").embed(["x y", "y", "x x y y"])
    np.testing.assert_allclose(found, [[0.5, 0.5], [0, 1], [0.5, 0.5]])


def test_word_order_and_capitals_do_not_matter(vectors):
    a, b = vectors.embed(["walk duck", "Duck  WALK"])
    np.testing.assert_allclose(a, b, atol=1e-7)


def test_an_accent_apart_from_its_letter_is_the_same_word():
    """As some file systems spell the names of folders."""
    apart, whole = "visiting cafe\u0301s", "visiting caf\u00e9s"
    assert text.words(apart) == text.words(whole) == ["visiting", "caf\u00e9s"]
    assert all(text.words(apart, text.Rules({name: "dine"})) == ["dine"] for name in (apart, whole))


def test_substitution_stands_for_the_whole_name(vectors):
    rules = text.Rules({"situp": "sit up"})
    assert text.words("situp", rules) == ["sit", "up"] and text.words("situp duck", rules) == ["situp", "duck"]
    np.testing.assert_array_equal(vectors.embed(["situp"], rules), vectors.embed(["sit up"]))


def test_word_without_vector_is_named_with_its_class(vectors):
    with pytest.raises(UserError, match=r'"flauta" of class "play flauta".*"situp" of class "situp".*other words'):
        vectors.embed(["walk duck", "play flauta", "situp"])
    with pytest.raises(UserError, match="and 4 more"):
        vectors.embed(["situp"] * 9)


def test_vector_that_is_not_finite_counts_as_missing():
    for number in (np.nan, np.inf):
        with pytest.raises(UserError, match="no vector"):
            text.WordVectors(lambda word, number=number: np.array([1, number]), 2, "broken").embed(["walk"])


def test_name_without_words_is_an_error(vectors):
    with pytest.raises(UserError, match='class name " "'):
        vectors.embed(["walk", " "])


def test_model_with_subwords_embeds_unknown_words(tmp_path):
    corpus, path = tmp_path / "corpus.txt", tmp_path / "subwords.bin"
    corpus.write_text("walking duck\n" * 20)
    model = fasttext.train_unsupervised(
        str(corpus), dim=4, minCount=1, minn=3, maxn=3, bucket=50, epoch=1, thread=1, verbose=0
    )
    rows = np.random.default_rng(0).normal(size=(53, 4)).astype(np.float32)  # 3 words, with </s>, and 50 subwords
    model.set_matrices(rows, rows[:3])  # training leaves rows that no word touches as it found the memory
    model.save_model(str(path))
    mean = rows[model.get_subwords("walker")[1]].mean(axis=0)
    np.testing.assert_allclose(text.WordVectors.load(path).embed(["walker"])[0], mean / np.linalg.norm(mean), rtol=1e-5)
    path.write_bytes(path.read_bytes()[:-400])  # of 896 bytes of matrices
    with pytest.raises(UserError, match="cut short"):
        text.WordVectors.load(path)


def test_classes_are_embedded_in_one_pass_over_a_file_that_lists_words(tmp_path, monkeypatch):
    (tmp_path / "a.vec").write_text("3 2\nduck 0 0.5\nwalk 3 0\nSkyjet 0 4\n")
    vectors = text.WordVectors.load(tmp_path / "a.vec")
    passes, opened = [], aurl.text.vectors._opened
    monkeypatch.setattr(aurl.text.vectors, "_opened", lambda path: passes.append(path) or opened(path))
    np.testing.assert_array_equal(vectors.embed(["Walk duck", "skyjet", "duck"]), [[0.5, 0.5], [0, 1], [0, 1]])
    np.testing.assert_array_equal(vectors.embed(["skyjet walk"]), [[0.5, 0.5]])
    assert len(passes) == 1
    with pytest.raises(UserError, match=r'a\.vec has no vector for "kick" of class "kick duck"'):
        vectors.embed(["kick duck"])


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


# Classes in a file

SETS = {
    "seen": (["walk duck", "get up ring"], np.float32([[1, 2, 3], [4, 5, 6]])),
    "novel": (["走る"], np.float32([[7, 8, 9]])),
}


def test_saved_classes_come_back(tmp_path):
    text.save_classes(tmp_path / "new" / "classes.npz", SETS)
    for name, (names, vectors) in SETS.items():
        found, numbers = text.load_classes(tmp_path / "new" / "classes.npz", name)
        assert found == names and all(type(each) is str for each in found) and numbers.dtype == np.float32
        np.testing.assert_array_equal(numbers, vectors)


def test_descriptions_lie_beside_the_names(tmp_path):
    about = np.float32([[0, 1, 0], [1, 0, 1]])
    text.save_classes(tmp_path / "classes.npz", SETS, {"seen": about})
    names, vectors = text.load_classes(tmp_path / "classes.npz", "seen", describe=True)
    assert names == SETS["seen"][0] and vectors.tolist() == [[1, 2, 3, 0, 1, 0], [4, 5, 6, 1, 0, 1]]
    np.testing.assert_array_equal(text.load_classes(tmp_path / "classes.npz", "seen")[1], SETS["seen"][1])
    with pytest.raises(UserError, match="^model.describe is true, but not every class of novel has a description: com"):
        text.load_classes(tmp_path / "classes.npz", "novel", describe=True)


def test_missing_classes_are_named(tmp_path):
    text.save_classes(tmp_path / "classes.npz", SETS)
    for file, name in (("nowhere.npz", "seen"), ("classes.npz", "composed")):
        said = f"{file} with the classes of {name} is missing: embed the class names"
        assert said in error_message(text.load_classes, tmp_path / file, name)


def test_files_of_another_kind_are_refused(tmp_path):
    path = tmp_path / "classes.npz"
    text.save_classes(path, SETS)
    whole = path.read_bytes()
    np.save(tmp_path / "array.npy", np.ones(3))
    np.savez(tmp_path / "objects.npz", **{"seen/names": np.array([{}]), "seen/vectors": np.ones(1)})
    for content in (
        whole[: len(whole) // 2],
        b"",
        b"a text",
        (tmp_path / "array.npy").read_bytes(),
        (tmp_path / "objects.npz").read_bytes(),
    ):
        path.write_bytes(content)
        assert "classes.npz has no classes" in error_message(text.load_classes, path, "seen")


def test_select_keeps_the_requested_order_and_names_an_unknown_class():
    names, vectors = ["walk duck", "kick ball", "spin box"], np.arange(6.0).reshape(3, 2)
    assert text.select(names, vectors, ["spin box", "walk duck"]).tolist() == [[4, 5], [0, 1]]
    with pytest.raises(UserError, match='no class "walk dock"; did you mean "walk duck"'):
        text.select(names, vectors, ["walk dock"])


def test_principal_components_keep_distances_of_vectors_that_lie_in_few_dimensions():
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(10, 3)) @ rng.normal(size=(3, 20))
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    found = text.principal(7 * vectors, 3)  # lengths do not matter

    def distances(x):
        return np.linalg.norm(x[:, None] - x[None], axis=2)

    assert np.allclose(distances(found), distances(unit), atol=1e-5)
    assert np.allclose(found.mean(axis=0), 0, atol=1e-6)
    # The order of dimensions does not matter either, signs included.
    assert np.allclose(text.principal(vectors[:, ::-1], 3), found, atol=1e-5)


# --- descriptions ----------------------------------------------------------------------------------

SENTENCES = {
    "walk": "move on foot",
    "walk duck": "a bird on foot that will walk",
    "duck": "a yellow bird",
    "spin kick": "turn and hit",
}


def test_described_class_is_the_mean_of_name_and_description():
    table = {
        word: np.random.default_rng([i]).normal(size=5)
        for i, word in enumerate(["walk", "duck", "kick", "spin", "move", "foot", "bird", "yellow", "turn", "hit"])
    }
    vectors = text.WordVectors(lambda word: table.get(word, np.zeros(5)), 5, "table")

    def mean(chosen):
        return sum(table[word] / np.linalg.norm(table[word]) for word in chosen.split()) / len(chosen.split())

    found = text.embed_described(vectors, ["walk", "spin kick duck"], SENTENCES)
    expected = [(mean("walk") + mean("move foot")) / 2, (mean("spin kick duck") + mean("turn hit yellow bird")) / 2]
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert not np.allclose(found, vectors.embed(["walk", "spin kick duck"]))


def test_longest_part_describes_and_the_names_own_words_do_not():
    assert text.describe("walk duck", SENTENCES) == ["bird", "foot", "will"]
    with pytest.raises(UserError, match='no description of "kick" in the class "walk kick"'):
        text.describe("walk kick", SENTENCES)
    with pytest.raises(UserError, match='description of the class "a" says nothing beyond its name'):
        text.describe("a", {"a": "the a"})


def test_every_verb_of_the_benchmark_has_a_description_with_vectors(vectors):
    sentences = text.load_sentences(ROOT / "data/descriptions.yaml")
    assert set(sentences) == {*VERBS, *sets.THINGS, *sets.COLORS}
    found = text.embed_described(vectors, sorted(VERBS), sentences)
    assert len(np.unique(found.round(6), axis=0)) == len(VERBS)


@pytest.mark.parametrize(
    "content, reason",
    [(b"walk: [1]", "not `name: sentence`"), (b"- a", "not `name: sentence`"), (b"a: b: c", "cannot be read"),
     (b"\xff", "cannot be read"), (None, "cannot be read")],
)  # fmt: skip
def test_descriptions_that_cannot_be_read(tmp_path, content, reason):
    if content is not None:
        (tmp_path / "d.yaml").write_bytes(content)
    with pytest.raises(UserError, match=f"d.yaml.*{reason}"):
        text.load_sentences(tmp_path / "d.yaml")


# --- overlap with several test sets ----------------------------------------------------------------


def test_training_classes_near_any_test_class_are_left_out():
    train = (["a", "b", "c", "d"], np.eye(4))
    tests = {
        "s": (["b2", "x"], np.array([[0.05, 1, 0, 0], [1, 1, 1, 1.0]])),
        "t": (["c2", "y"], np.array([[0, 0, 1, 0.1], [1, 1, 1, 1]])),
    }
    (names, vectors), table = text.without_overlap(train, tests, 0.05)
    assert names == ["a", "d"] and (vectors == np.eye(4)[[0, 3]]).all()
    assert table["class"].tolist()[:2] == ["b", "c"] and table["removed"].tolist() == [True, True, False, False]
    assert table["set"].tolist()[:2] == ["s", "t"] and table["nearest"].tolist()[:2] == ["b2", "c2"]
    assert table["distance"].is_monotonic_increasing and len(table) == 4
    assert text.without_overlap(train, tests, 0)[0][0] == train[0]
