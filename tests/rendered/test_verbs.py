"""The benchmark of verbs: what is crossed, that no video depends on others, and files as the manifest says."""

from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from aurl import text
from aurl.data import video
from aurl.data.manifest import COLUMNS
from aurl.project import config
from aurl.project.paths import RENDERED
from aurl.rendered import verbs
from aurl.rendered.motions import VERBNET, VERBS
from aurl.rendered.solids import THINGS

VECTORS = Path(__file__).parents[2] / "data" / "vectors" / "glove-6b-100d-actions.bin"


def section(**changes):
    """The section ``verbs`` of params.yaml, small."""
    small = {"seed": 0, "fold": 0, "size": 32, "frames": 6, "fps": 12, "videos": 12, "val_videos": 4}
    return config.sections.Verbs(**small | changes)


def pictures(name="bouncing", index=0, seed=0, set_="verbs-seen"):
    return verbs.render(verbs.Video(set_, "train", name, index), seed, 32, 6, 12)


def test_every_verb_is_unseen_in_one_fold():
    folds = [verbs.classes(number) for number in range(config.FOLDS)]
    assert sorted(name for own in folds for name in own["verbs-unseen"]) == sorted(VERBS)
    for own in folds:
        assert not set(own["verbs-seen"]) & set(own["verbs-unseen"])
        assert len(own["verbs-seen"]) + len(own["verbs-unseen"]) == len(VERBS)
    assert {len(own["verbs-unseen"]) for own in folds} == {len(VERBS) // config.FOLDS}


def test_a_verb_has_one_class_of_verbnet():
    assert sum(map(len, VERBNET.values())) == len(VERBS) >= 60


def test_every_verb_has_a_vector_of_its_own():
    vectors = text.WordVectors.load(VECTORS).embed(sorted(VERBS))
    cosines = vectors @ vectors.T / np.outer(*[np.linalg.norm(vectors, axis=1)] * 2)
    assert np.triu(cosines, 1).max() < 0.99


def test_what_does_it_and_what_stands_by_give_no_verb_away():
    everything = verbs.videos(section())
    pairs = {name: Counter((v.thing, v.other) for v in everything if v.name == name) for name in VERBS}
    assert all(own == pairs["bouncing"] for own in pairs.values())
    assert set(pairs["bouncing"].values()) == {1} and len(pairs["bouncing"]) == len(THINGS) * (len(THINGS) - 1)
    for split in ("train", "val"):
        assert {v.thing for v in everything if v.split == split} == set(THINGS)


def test_videos_of_both_sets():
    everything = verbs.videos(section(fold=2))
    assert len({v.id for v in everything}) == len(everything) == 12 * len(VERBS)
    for v in everything:
        unseen = verbs.fold(v.name) == 2
        assert v.set == ("verbs-unseen" if unseen else "verbs-seen")
        assert v.split == ("test" if unseen else "train" if v.index < 8 else "val")


def test_pictures_depend_on_their_own_name_number_and_seed_only():
    first = pictures()
    assert first.shape == (6, 32, 32, 3) and first.dtype == np.uint8
    pictures("falling", 3)
    np.testing.assert_array_equal(pictures(), first)
    np.testing.assert_array_equal(pictures(set_="verbs-unseen"), first)  # the same in every fold
    for other in (pictures(index=1), pictures(seed=1), pictures("falling")):
        assert (other != first).any()


@pytest.mark.parametrize("name", sorted(VERBS))
def test_something_can_be_seen(name, monkeypatch):
    shown = pictures(name).astype(int)
    monkeypatch.setattr(verbs, "draw", lambda *_: None)
    assert np.abs(shown - pictures(name).astype(int)).max() > 40  # not only ground and sky
    # All but those that only hold still show it in how pictures differ.
    assert np.abs(np.diff(shown, axis=0)).max() > (0 if name == "creeping" else 8)


def test_files_are_as_the_manifest_says(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    chosen = [v for v in verbs.videos(section(videos=3, val_videos=1)) if v.name == "accelerating"]
    monkeypatch.setattr(verbs, "videos", lambda params: chosen)
    Path("data/verbs/verbs-seen").mkdir(parents=True)
    Path("data/verbs/verbs-seen/old.mp4").touch()
    manifest = verbs.build("data/verbs", section(videos=3, val_videos=1))
    assert not Path("data/verbs/verbs-seen/old.mp4").exists()
    assert list(manifest.columns) == COLUMNS and len(manifest) == 3
    for row in manifest.to_dict("records"):
        assert row["words"] == row["class"] == "accelerating" and row["status"] == "ok"
        assert (row["frames"], row["width"], row["height"]) == (6, 32, 32)
        assert video.probe(row["path"])["digest"] == row["digest"]


def test_folds_share_what_was_rendered(tmp_path, monkeypatch, in_process):
    monkeypatch.chdir(tmp_path)
    everything = verbs.videos

    def build(**changes):
        params = section(videos=2, val_videos=1, **changes)
        chosen = [v for v in everything(params) if v.name in ("accelerating", "approaching")]
        monkeypatch.setattr(verbs, "videos", lambda _: chosen)
        return verbs.build("data/verbs", params).set_index(["class", "split"])["digest"]

    def times():
        return {path: path.stat().st_mtime_ns for path in RENDERED.rglob("*.mp4")}

    first = build()
    before = times()
    other = build(fold=verbs.fold("accelerating"))
    assert times() == before and len(before) == 4
    assert sorted(other) == sorted(first) and "test" in other["accelerating"].index
    build(size=16)
    assert len(times()) == 8


def test_a_rendered_video_that_was_cut_or_swapped_is_rendered_again(tmp_path, monkeypatch, in_process):
    monkeypatch.chdir(tmp_path)
    params = section(videos=2, val_videos=1, size=16)
    chosen = [v for v in verbs.videos(params) if v.name == "accelerating"]
    monkeypatch.setattr(verbs, "videos", lambda _: chosen)
    first = verbs.build("data/verbs", params)
    kept = sorted(RENDERED.rglob("*.mp4"))
    whole = [path.read_bytes() for path in kept]
    kept[0].write_bytes(whole[0][: len(whole[0]) // 2])
    kept[1].write_bytes(bytes(byte ^ 1 for byte in whole[1]))  # as long as it was
    pd.testing.assert_frame_equal(verbs.build("data/verbs", params), first)
    assert [path.read_bytes() for path in kept] == whole
