"""Word vectors from every kind of file, and files without any."""

import gzip
import struct
import tracemalloc

import numpy as np
import pytest
from errors import error_message
from project import GLOVE

from aurl import UserError
from aurl.text import vectors
from aurl.text.vectors import open_vectors

# Numbers whose bytes hold a space (0x20) or a newline (0x0a), and numbers that decimals do not give exactly.
NUMBERS = {
    "</s>": [0.0, 0.0, 0.0], "New_York": [*np.frombuffer(b"   =\n\n\n= \n >", "<f4")], "walk": [0.1, -2.5, 3e-8],
    "Walk": [9, 9, 9], "Skyjet": [1, 2, 3], "größe": [4, 5, 6],
}  # fmt: skip


def binary(entries, end=b"", count=None, dim=3):
    """word2vec's binary format: "count dim", and for each word its letters, a space and little-endian float32."""
    rows = [word.encode() + b" " + struct.pack(f"<{len(row)}f", *row) + end for word, row in entries]
    return b"%d %d\n" % (len(rows) if count is None else count, dim) + b"".join(rows)


def lines(entries, header=True, end="\n", count=None, dim=3):
    """fastText's text, and GloVe's without the header."""
    rows = [" ".join([word, *(repr(float(number)) for number in row)]) + end for word, row in entries]
    return (f"{len(rows) if count is None else count} {dim}\n" * header + "".join(rows)).encode()


ENTRIES = list(NUMBERS.items())
FILES = {
    "GoogleNews": binary(ENTRIES), "word2vec.c": binary(ENTRIES, b"\n"), "fastText": lines(ENTRIES),
    "ends in spaces": lines(ENTRIES, end=" \r\n"), "GloVe": lines(ENTRIES, header=False),
    "no last newline": lines(ENTRIES)[:-1],
}  # fmt: skip


def written(tmp_path, content):
    path = tmp_path / "words.bin"  # the name says nothing about the content
    path.write_bytes(content)
    return path


def refusal(path, *words):
    """The message that refuses a file, when it is opened or when words are looked up."""
    sentence = error_message(lambda: open_vectors(path).fetch(words or ["walk"]))
    assert path.name in sentence
    return sentence


@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gzip"])
@pytest.mark.parametrize("kind", FILES)
def test_words_have_the_vectors_of_the_file(tmp_path, kind, pack):
    found = open_vectors(written(tmp_path, pack(FILES[kind])))
    found.fetch(NUMBERS)
    assert found.dim == 3
    for word, numbers in NUMBERS.items():
        vector = found.lookup(word)
        assert vector.dtype == np.float32
        np.testing.assert_array_equal(vector, np.float32(numbers))
    np.testing.assert_array_equal(found.lookup("kick"), np.zeros(3))


@pytest.mark.parametrize("kind", FILES)
def test_a_capital_is_found_by_its_small_letter_unless_that_is_there(tmp_path, kind):
    found = open_vectors(written(tmp_path, FILES[kind]))
    assert found.lookup("skyjet").tolist() == [1, 2, 3]
    assert found.lookup("walk").tolist() == np.float32(NUMBERS["walk"]).tolist()
    assert not found.lookup("GRÖSSE").any() and not found.lookup("york").any()


@pytest.mark.parametrize("write", [binary, lines])
def test_two_entries_of_a_word_are_refused_if_it_is_used(tmp_path, write):
    """Unless they are equal; gensim would take the first."""
    entries = [("walk", [1, 2, 3]), ("end", [7, 8, 9]), ("walk", [4, 5, 6]), ("end", [7, 8, 9])]
    path = written(tmp_path, write(entries))
    assert open_vectors(path).lookup("end").tolist() == [7, 8, 9]
    assert refusal(path, "end", "walk").endswith(
        'have two vectors for "walk": remove one of them, or use other vectors'
    )


@pytest.mark.parametrize("kind", FILES)
def test_letters_that_are_not_utf8_do_not_disturb_other_words(tmp_path, kind):
    content = FILES[kind].replace("größe".encode(), b"gr\xc3")
    found = open_vectors(written(tmp_path, content))
    assert found.lookup("Skyjet").tolist() == [1, 2, 3]


@pytest.mark.parametrize("header", [False, True])
def test_words_that_hold_spaces(tmp_path, header):
    """GloVe 840B has "at name@domain.com" and ". . .": their first part is another word. Spaces around a word are none
    of it, and a word may be empty."""
    entries = [("walk", [1, 2, 3]), ("at name@domain.com", [4, 5, 6]), (". . .", [7, 8, 9]), ("at", [1, 1, 1])]
    content = lines([*entries, ("", [5, 5, 5]), ("swim ", [6, 6, 6]), (" run", [2, 2, 2])], header)
    found = open_vectors(written(tmp_path, content))
    assert [found.lookup(word)[0] for word in ("walk", "at", ". . .", "swim", "run")] == [1, 1, 7, 6, 2]
    first = open_vectors(written(tmp_path, lines([(". . .", [7, 8, 9]), ("at", [1, 2, 3])])))
    assert first.lookup("at").tolist() == [1, 2, 3]


@pytest.mark.parametrize("word", ["ice tea", "New York", "Los Angeles"])
def test_a_word_with_a_space_in_a_binary_file(tmp_path, word):
    """The format ends words at spaces: the rest of such a word would be numbers, and the word after it be lost."""
    row = np.random.default_rng(0).normal(size=50)
    path = written(tmp_path, binary([("walk", row), (word, row), ("swim", row), ("end", row)], dim=50))
    assert "holds a space" in refusal(path, word.split()[0]) or "first line is wrong" in refusal(path, "end")


@pytest.mark.parametrize("kind", ["fastText", "GloVe"])
def test_a_byte_order_mark_is_no_part_of_the_first_word(tmp_path, kind):
    found = open_vectors(
        written(tmp_path, b"\xef\xbb\xbf" + FILES[kind].replace(b"</s>", b"dive").replace(b" 0.0", b" 1"))
    )
    assert found.lookup("dive").tolist() == [1, 1, 1]


@pytest.mark.parametrize("chunk", [23, 29, 30, 31, 64, 1000])
def test_entries_may_lie_across_chunks(tmp_path, monkeypatch, chunk):
    rng = np.random.default_rng(0)
    table = {f"w{i}" * (i % 4 + 1): rng.normal(size=2).astype(np.float32) for i in range(300)}
    path = written(tmp_path, binary(table.items(), dim=2))
    monkeypatch.setattr(vectors, "CHUNK", chunk)
    found = open_vectors(path)
    found.fetch(table)
    assert {word: found.lookup(word).tobytes() for word in table} == {
        word: row.tobytes() for word, row in table.items()
    }


def test_words_that_were_found_are_kept(tmp_path):
    path = written(tmp_path, FILES["GoogleNews"])
    found = open_vectors(path)
    found.fetch(["walk", "kick"])
    path.unlink()
    assert found.lookup("walk").any() and not found.lookup("kick").any()
    with pytest.raises(UserError, match="No such file"):
        found.lookup("Skyjet")


@pytest.mark.parametrize("write", [binary, lines])
def test_memory_is_a_small_part_of_the_file(tmp_path, write):
    row = [0.125] * 2500
    path = written(tmp_path, write(((f"w{i}", row) for i in range(2500)), dim=2500))
    assert path.stat().st_size > 20 * vectors.CHUNK
    tracemalloc.start()
    assert open_vectors(path).lookup("w2000").tolist() == row
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 8 * vectors.CHUNK


# --- files that are refused ------------------------------------------------------------------------


def test_files_without_word_vectors(tmp_path, capfd):
    whole = GLOVE.read_bytes()
    for name, content, reason in [
        ("empty.bin", b"", "not a fastText model, nor another file of word vectors; text.vectors must be"),
        ("prose.txt", b"these are words\nand more of them\n", "not a fastText model"),
        ("table.csv", b"walk,0.1,0.2\n", "not a fastText model"),
        ("none.vec", b"0 300\n", "promises no vectors"),
        ("nan.vec", b"1 2\nwalk 1 nan\n", 'of the vector of "walk", a number is not finite'),
        ("skipped.vec", b"1 2\nwalk 1_0 2\n", 'of the vector of "walk", a number has an underscore'),
        ("header.bin", whole[:40], "cut short"),
        ("dictionary.bin", whole[:1000], "cut short"),
        ("cut.bin", whole[:-70_000], "cut short"),
        ("version.bin", whole[:4] + struct.pack("<i", 99) + whole[8:], "cannot be loaded by fastText"),
        ("model.bin.gz", gzip.compress(whole, 1), "unpack it with gunzip"),
    ]:
        (tmp_path / name).write_bytes(content)
        assert reason in refusal(tmp_path / name)
    assert "does not exist; text.vectors must be" in refusal(tmp_path / "missing.bin")
    assert "is a folder" in refusal(tmp_path)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("place", "value"),
    [(9, 1), (29, 249), (43, 128), (50, 154), (51, 246), (66, 66), (69, 1), (73, 3), (91, 42), (9657, 0)],
)  # fmt: skip
def test_model_with_a_damaged_byte(tmp_path, place, value):
    """fastText itself reads for ever, divides by zero, or gives other vectors."""
    content = bytearray(GLOVE.read_bytes())
    assert content[place] != value
    content[place] = value
    assert "this fastText model is cut short or damaged" in refusal(written(tmp_path, bytes(content)))


@pytest.mark.parametrize("kind", ["GoogleNews", "word2vec.c", "fastText"])
@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gzip"])
def test_file_that_is_cut_anywhere(tmp_path, kind, pack):
    """Two cuts go unnoticed: within the last number of a text, and of the newline at the end."""
    whole = pack(FILES[kind])
    end = 1 if pack is gzip.compress or kind == "GoogleNews" else 2 if kind == "word2vec.c" else len(b" 6.0\n")
    for size in range(len(whole) - end + 1):
        sentence = refusal(written(tmp_path, whole[:size]))
        assert "fetch or copy" in sentence or "not a fastText model" in sentence


@pytest.mark.parametrize("rows", [6, 900], ids=["in the first chunk", "in a later chunk"])
def test_gzip_that_is_damaged(tmp_path, rows):
    rng = np.random.default_rng(0)
    packed = gzip.compress(binary([(f"w{i}", rng.normal(size=600)) for i in range(rows)], dim=600), 1)
    flipped = bytearray(packed)
    for i in range(len(packed) * 3 // 4, len(packed) - 8):
        flipped[i] ^= 255
    for damaged in (packed[:-3000], bytes(flipped)):
        assert "fetch or copy the file again" in refusal(written(tmp_path, damaged))


@pytest.mark.parametrize(
    "lie", [{"count": 5}, {"count": 7}, {"count": 10**11}, {"dim": 2}, {"dim": 4}, {"dim": 999_999}]
)
@pytest.mark.parametrize("write", [binary, lines])
def test_wrong_header(tmp_path, write, lie):
    assert "cannot be read" in refusal(written(tmp_path, write(ENTRIES, **lie)))


def test_binary_that_ends_in_zeros(tmp_path, monkeypatch):
    """An interrupted download that reserved its space leaves such a file."""
    monkeypatch.setattr(vectors, "CHUNK", 1000)
    assert "word 3 never ends" in refusal(written(tmp_path, binary(ENTRIES)[:30] + bytes(10_000)))


@pytest.mark.parametrize(("row", "line"), [("kick 1 2", 3), ("kick 1 2 3 4", 3), ("", 3), ("kick", 3)])
def test_lines_of_other_dimensions(tmp_path, row, line):
    content = f"walk 1 2 3\nduck 1 2 3\n{row}\nend 1 2 3\n"
    assert f"line {line} has" in refusal(written(tmp_path, content.encode()))
    assert f"line {line + 1} has" in refusal(written(tmp_path, f"4 3\n{content}".encode()))


def test_number_that_cannot_be_read(tmp_path):
    path = written(tmp_path, b"walk 1 2 3\nduck 1 O.2 3\n")
    assert open_vectors(path).lookup("walk").tolist() == [1, 2, 3]
    assert 'of the vector of "duck"' in refusal(path, "duck")
