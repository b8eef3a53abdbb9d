"""Files of features as a data set: the same videos from every layout, and one sentence for each mistake in a file."""

import hashlib
import zipfile

import h5py
import numpy as np
import pandas as pd
import pytest
from errors import error_message
from scipy.io import savemat

from aurl import UserError
from aurl.data import prepare
from aurl.data.manifest import COLUMNS
from aurl.data.readers import features
from aurl.project import config

NAMES = ["jump", "run", "walk"]
LABELS = np.array([0, 1, 2, 2, 1, 0])
IDS = [f"v{i}" for i in range(6)]
SPLITS = ["train", "train", "train", "val", "val", "test"]
VALUES = np.random.default_rng(0).normal(size=(6, 2, 4)).astype(np.float32)


def write(path, values=VALUES, **change):
    """A file of six videos in the layout of its extension; ``change`` replaces arrays, and None leaves one out."""
    arrays = {"features": values, "labels": LABELS, "classes": NAMES, "ids": IDS, "split": SPLITS} | change
    arrays = {name: value for name, value in arrays.items() if value is not None}
    if path.suffix == ".npz":
        np.savez(path, **arrays)
    elif path.suffix == ".npy":
        np.save(path, arrays["features"])
        table = {"id": IDS, "class": [NAMES[i] for i in LABELS], "split": SPLITS}
        pd.DataFrame(table).to_csv(path.with_suffix(".csv"), index=False)
    elif path.suffix == ".mat":
        cells = ("classes", "ids", "split")
        savemat(path, {name: np.array(v, object) if name in cells else v for name, v in arrays.items()})
    else:
        with h5py.File(path, "w") as file:
            for name, value in arrays.items():
                file[name] = value
    return path


def said(path, **options):
    message = error_message(features.read, path, **options)
    assert message.endswith(".") and str(path.with_suffix("")) in message
    return message


@pytest.mark.parametrize("ending", [".npz", ".npy", ".h5", ".hdf5", ".mat"])
def test_every_layout_has_the_same_videos(tmp_path, ending):
    path = write(tmp_path / f"set{ending}")
    table = features.read(path)
    assert table["id"].tolist() == IDS and table["split"].tolist() == SPLITS
    assert table["class"].tolist() == [NAMES[i] for i in LABELS]
    assert table[["first", "frames", "width"]].values.tolist() == [[i, 2, 4] for i in range(6)]
    assert table["digest"].tolist() == [hashlib.sha256(own.tobytes()).hexdigest() for own in VALUES]
    np.testing.assert_array_equal(features.load(path).features, VALUES)


@pytest.mark.parametrize("beside", [False, True])
def test_the_fields_zero_shot_files(tmp_path, beside):
    """features (F, N), labels (N, 1) from 1 on, and names in a cell array of their own file or of att_splits.mat."""
    names = {"allclasses_names": np.array(NAMES, object)[:, None]}
    own = {"features": VALUES[:, 0].T, "labels": LABELS[:, None] + 1.0}
    savemat(tmp_path / "res101.mat", own if beside else own | names)
    if beside:
        savemat(tmp_path / "att_splits.mat", names)
    table = features.read(tmp_path / "res101.mat")
    assert table["class"].tolist() == [NAMES[i] for i in LABELS] and table["id"].tolist() == list("012345")
    np.testing.assert_array_equal(features.load(tmp_path / "res101.mat").features[:, 0], VALUES[:, 0])


def test_npy_is_mapped_and_names_may_stand_in_place_of_numbers(tmp_path):
    write(tmp_path / "set.npy")
    assert isinstance(features.load(tmp_path / "set.npy").features, np.memmap)
    path = write(tmp_path / "set.npz", labels=["b", "a", "a", "b", "a", "b"], classes=None, ids=None, split=None)
    table = features.read(path)
    assert table["class"].tolist() == list("baabab") and table["split"].unique().tolist() == [""]


def test_split_and_official_names(tmp_path):
    path = write(tmp_path / "set.npz")
    assert features.read(path, split="val")["id"].tolist() == ["v3", "v4"]
    assert features.read(path, classes=["Jump", "Run", "Walk"])["class"].unique().tolist() == ["Jump", "Run", "Walk"]
    plain = write(tmp_path / "plain.npz", split=None)
    assert features.read(plain, split="val")["split"].unique().tolist() == ["val"]
    half = features.read(path, classes=["jump", "RUN"])
    assert set(half["class"]) == {"jump", "RUN"} and half.attrs["unselected"] == 2
    assert half["digest"].tolist() == [hashlib.sha256(VALUES[i].tobytes()).hexdigest() for i in half["first"]]
    assert "lacks 1 of the 3 classes, such as 'wolk' (did you mean 'walk'?)" in said(
        path, classes=["jump", "run", "wolk"]
    )
    assert "has a class 'jump', which is none of the 101 classes of ucf101" in said(path, lists=["ucf101"])
    assert "has no video of the split train" in said(write(tmp_path / "t.npz", split=["test"] * 6), split="train")


BAD = np.where(np.arange(6)[:, None, None] == 3, np.nan, VALUES)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [({"labels": None}, "has no array 'labels'"), ({"values": VALUES[:, 0, 0]}, "has features of shape (6,)"),
     ({"values": VALUES[:, None]}, "has features of shape (6, 1, 2, 4)"),
     ({"values": np.full((6, 4), "x")}, "and type <U1"),
     ({"values": BAD}, "has features that are not finite numbers, of the video 'v3'"),
     ({"values": VALUES.astype(float) * 1e39}, "not finite numbers, of the video 'v0'"),
     ({"ids": ["v0"] * 6}, "has two videos with the id 'v0'"), ({"ids": IDS[:5]}, "has 6 videos but 5 ids"),
     ({"labels": LABELS + 1}, "has the label 3 at the video 'v2', where labels of 3 classes are 0 to 2"),
     ({"labels": LABELS - 1}, "has the label -1 at the video 'v0'"),
     ({"labels": LABELS + 0.5}, "has the label 0.5 at the video 'v0'"),
     ({"classes": None}, "has numbers as labels and no array 'classes'"),
     ({"classes": ["a", "a", "b"]}, "has a class twice"),
     ({"classes": ["a", "", "b"]}, "has no class name for the video 'v1'"),
     ({"split": ["dev"] * 6}, "has a split 'dev'"),
     ({"classes": np.array(NAMES, object)}, "holds Python objects, which are not read as they could run code")],
)  # fmt: skip
def test_mistakes_in_a_file(tmp_path, change, sentence):
    assert sentence in said(write(tmp_path / "set.npz", **change))


@pytest.mark.parametrize(
    ("name", "ahead", "value"),
    [("features", -7, 2), ("features", 11, 255), ("features", -39, 255), ("labels", -7, 1), ("labels", -39, 31),
     ("classes", -39, 255), ("jump", -3, 255), ("jump", -4, 8), ("ids", -12, 9)],
)  # fmt: skip
def test_mat_with_a_damaged_byte(tmp_path, name, ahead, value):
    """SciPy crashes on most of these. The byte is so far from the first letter of a name."""
    path = write(tmp_path / "set.mat")
    content = bytearray(path.read_bytes())
    place = content.index(name.encode()) + ahead
    assert content[place] != value
    content[place] = value
    path.write_bytes(content)
    assert "cannot be read" in said(path)


def test_cells_of_matlab_hold_names_numbers_or_nothing(tmp_path):
    named = write(tmp_path / "named.mat", labels=np.array([NAMES[i] for i in LABELS], object), split=None)
    numbered = write(tmp_path / "numbered.mat", labels=np.array(LABELS.tolist(), object), split=None)
    assert features.load(numbered).labels == features.load(named).labels == [NAMES[i] for i in LABELS]
    some = np.array(["train", "", "val", "", "train", "test"], object)
    assert features.load(write(tmp_path / "some.mat", split=some)).splits == some.tolist()
    unnamed = np.array(["jump", "run", "walk", "walk", "run", ""], object)
    assert "has no class name for the video 'v5'" in said(write(tmp_path / "unnamed.mat", labels=unnamed))
    double = np.array([*NAMES, *NAMES[:2], np.array(["jump", "run"], object)], object)
    assert "has a list where a name should be" in said(write(tmp_path / "double.mat", labels=double))


def test_groups_and_references_in_hdf5_are_no_names(tmp_path):
    with h5py.File(tmp_path / "group.h5", "w") as file:
        file["features"] = VALUES
        for name in "abcdef":
            file[f"labels/{name}"] = 1
    assert "has no array 'labels'" in said(tmp_path / "group.h5")
    with h5py.File(tmp_path / "reference.h5", "w") as file:
        file["features"] = VALUES
        file["labels"] = np.array([file["features"].ref] * 6, h5py.ref_dtype)
    assert "has a Reference where a name should be" in said(tmp_path / "reference.h5")


def test_names_that_are_not_utf8(tmp_path):
    path = tmp_path / "set.h5"
    with h5py.File(path, "w") as file:
        file["features"], file["labels"] = (
            VALUES,
            np.array([name.encode("latin-1") for name in ["jump", "flüchten"] * 3]),
        )
    assert r"has the name b'fl\xfcchten', which is not UTF-8: expected" in said(path)


def test_a_file_that_is_no_array_in_an_archive(tmp_path):
    with zipfile.ZipFile(tmp_path / "set.npz", "w") as archive:
        archive.writestr("features", b"something else")
    assert "has no array 'features'" in said(tmp_path / "set.npz")


def test_files_that_are_something_else(tmp_path):
    assert "is no file of features: give one that ends in .npz" in said(tmp_path / "set.txt")
    for ending in features.FORMATS:
        path = tmp_path / f"set{ending}"
        assert "there is no file" in said(path)
        path.write_bytes(b"something else")
        assert "cannot be read" in said(path) or "holds Python objects" in said(path)
    np.save(tmp_path / "alone.npy", VALUES)
    assert "alone.csv is missing" in said(tmp_path / "alone.npy")
    (tmp_path / "alone.csv").write_text("id,label\n")
    assert "has no column class, its columns are id, label" in said(tmp_path / "alone.npy")


@pytest.mark.parametrize("end", [",", ",,", ""])
def test_rows_of_a_csv_that_end_in_a_comma(tmp_path, end):
    """Reading them as shifted columns would take paths for classes."""
    path = write(tmp_path / "set.npy")
    rows = [f"null,{name}.mp4,{NAMES[i]},{split}{end}\n" for name, i, split in zip(IDS, LABELS, SPLITS)]
    path.with_suffix(".csv").write_text("\ufeffx,id,class,Split\n" + "".join(rows))
    table = features.read(path)
    assert table["class"].tolist() == [NAMES[i] for i in LABELS] and table["split"].tolist() == SPLITS
    rows[2] = rows[2].replace("walk", "walk,slowly")
    path.with_suffix(".csv").write_text("x,id,class,split\n" + "".join(rows))
    assert f"set.csv, line 4 has {5 + len(end)} fields where the first line has 4" in said(path)


# --- as rows of the manifest ---------------------------------------------------------------------------


def data(train, test):
    known = {"reader": "features"}
    sets = {name: config.sections.Dataset(root=f"{name}.npz", **known) for name in (*train, *test)}
    return config.sections.Data(train=train, test=test, datasets=sets)


SETTINGS = config.sections.Prepare(
    val_videos=1, min_frames=16, broken=0, damaged="refuse", proxies=None, scheduler=None
)


def test_rows_of_the_manifest_need_no_probing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "own.npz", split=None)
    write(tmp_path / "other.npz", values=VALUES[:, :1], split=None)
    (seen, unseen), found = prepare.datasets(data(["own"], ["other"]), SETTINGS)
    assert list(seen.columns) == COLUMNS and (seen["status"] == "ok").all() and seen["id"].str.startswith("own/v").all()
    assert seen.groupby("class")["split"].apply(sorted).tolist() == [["train", "val"]] * 3
    assert unseen["split"].unique().tolist() == ["test"] and found["videos"].tolist() == [6, 6]
    assert not (tmp_path / "build").exists()


def test_sets_of_other_dimensions_are_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "own.npz", split=None)
    write(tmp_path / "small.npz", values=VALUES[..., :3], split=None)
    write(tmp_path / "single.npz", values=VALUES[:, 0], split=None)
    with pytest.raises(UserError, match="own has vectors of 4 numbers, but small has vectors of 3 numbers: compute"):
        prepare.datasets(data(["own"], ["small"]), SETTINGS)
    with pytest.raises(UserError, match="own has vectors of 4 numbers, 2 for each video, but single has .*, 1 for"):
        prepare.datasets(data(["own", "single"], ["small"]), SETTINGS)
