"""Rendered pictures are the same everywhere and depend on nothing else; files are as the manifest says."""

import hashlib
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from aurl.data import video
from aurl.data.manifest import COLUMNS
from aurl.project import config
from aurl.project.paths import RENDERED
from aurl.rendered import rendering, sets
from aurl.rendered.motions import VERBS

DIGESTS = {  # class, number and size of a video -> SHA-256 of its pictures
    ("bouncing ball", 0, 64): "fb50f5d467aad571",  # beside it box
    ("rolling box", 1, 64): "3c81cf078a7d7dc1",  # beside it duck
    ("tumbling bottle", 2, 64): "41c4328156e11b2d",  # beside it duck
    ("somersaulting duck", 3, 64): "77e9dc67cc7482eb",  # beside it hammer
    ("fading table", 4, 64): "267b53f131564234",  # beside it bottle
    ("vanishing hammer", 5, 32): "55dd86e2e4bfd8b4",  # beside it ball
    ("darkening bottle", 6, 64): "df59dc304747b3eb",  # beside it box
    ("exploding duck", 7, 64): "8fae91727c1053a3",  # beside it table
    ("assembling ball", 8, 64): "115f8d4affc5dc47",  # beside it hammer
    ("mixing box", 9, 64): "eff6c2ce47b5ac16",  # beside it bottle
    ("flattening table", 10, 64): "484e2f27025d24e4",  # beside it ball
    ("stretching hammer", 11, 64): "03ffa33a2e77cd75",  # beside it box
    ("chasing ball", 12, 64): "01304dca7202cfc1",  # beside it table
    ("crashing box", 13, 64): "8937e299b365e2d1",  # beside it hammer
    ("circling bottle", 14, 32): "f21b39425ca22227",  # beside it hammer
    ("carrying table", 15, 64): "a178f42016fa9504",  # beside it ball
    ("sinking ball", 16, 64): "21e058ab9c994f08",  # beside it duck
    ("knocking hammer", 17, 64): "a2164888716dd381",  # beside it duck
    ("red duck", 18, 64): "ac2102ffeb744d50",  # beside it hammer
    ("white bottle", 119, 32): "ca71f00fc7d38060",  # beside it hammer
}


def pictures(name="bouncing ball", index=0, seed=0, set_="pairs-seen", size=32, frames=6):
    return rendering.render(sets.Video(set_, "train", name, index), seed, size, frames)


@pytest.fixture
def build(tmp_path, monkeypatch, in_process):
    """Renders a few videos in an empty directory, in this process."""
    monkeypatch.chdir(tmp_path)
    everything = sets.videos

    def build(names=("accelerating ball",), **changes):
        small = {"seed": 0, "fold": 0, "size": 16, "frames": 6, "fps": 12, "videos": 2, "val_videos": 1}
        small |= {"test_videos": 2}
        params = config.sections.Verbs(**small | changes)
        chosen = lambda params, wanted, verbs: [v for v in everything(params, wanted) if v.name in names]  # noqa: E731
        monkeypatch.setattr(sets, "videos", chosen)
        return rendering.build("data/verbs", params, sets.SETS[:3])

    return build


@pytest.mark.parametrize("about", DIGESTS, ids=lambda about: about[0])
def test_pictures_stay_the_same(about):
    """They hold each thing, opacity, brightness, scaling, pieces, another thing that moves, a color, and the ground."""
    name, index, size = about
    drawn = pictures(name, index, size=size, frames=24)
    assert hashlib.sha256(drawn.tobytes()).hexdigest()[:16] == DIGESTS[about]


def test_pictures_depend_on_their_own_name_number_and_seed_only():
    first = pictures()
    assert first.shape == (6, 32, 32, 3) and first.dtype == np.uint8
    pictures("falling table", 3)
    np.testing.assert_array_equal(pictures(), first)
    np.testing.assert_array_equal(pictures(set_="verbs-unseen"), first)  # the same in every fold
    for other in (pictures(index=1), pictures(seed=1), pictures("falling ball"), pictures("bouncing table")):
        assert (other != first).any()


@pytest.mark.parametrize("name", sorted(VERBS))
def test_something_can_be_seen(name, monkeypatch):
    name = f"{name} box"
    shown = pictures(name).astype(int)
    monkeypatch.setattr(rendering, "paint", lambda *_: None)
    assert np.abs(shown - pictures(name).astype(int)).max() > 40  # not only ground and sky
    # All but those that only hold still show it in how pictures differ.
    assert np.abs(np.diff(shown, axis=0)).max() > (0 if name == "creeping box" else 8)


def test_files_are_as_the_manifest_says(build):
    Path("data/verbs/pairs-seen").mkdir(parents=True)
    Path("data/verbs/pairs-seen/old.mp4").touch()
    manifest = build(videos=3, test_videos=3, size=32)
    assert not Path("data/verbs/pairs-seen/old.mp4").exists()
    assert list(manifest.columns) == COLUMNS and len(manifest) == 3
    for row in manifest.to_dict("records"):
        assert row["words"] == row["class"] == "accelerating ball" and row["status"] == "ok"
        assert (row["frames"], row["width"], row["height"]) == (6, 32, 32)
        assert video.probe(row["path"])["digest"] == row["digest"]
    assert abs(video.read_frames(manifest["path"][0]).astype(int) - pictures("accelerating ball")).mean() < 6


def test_folds_share_what_was_rendered(build):
    def times():
        return {path: path.stat().st_mtime_ns for path in RENDERED.rglob("*.mp4")}

    names = ("accelerating ball", "approaching duck")
    first = build(names)
    before = times()
    other = build(names, fold=sets.fold("accelerating"))
    assert times() == before and len(before) == 4
    assert sorted(other["digest"]) == sorted(first["digest"])
    assert "test" in other.loc[other["class"] == "accelerating ball", "split"].unique()
    build(names, size=32)
    assert len(times()) == 8


def test_a_rendered_video_that_was_cut_or_swapped_is_rendered_again(build):
    first = build()
    kept = sorted(RENDERED.rglob("*.mp4"))
    whole = [path.read_bytes() for path in kept]
    kept[0].write_bytes(whole[0][: len(whole[0]) // 2])
    kept[1].write_bytes(bytes(byte ^ 1 for byte in whole[1]))  # as long as it was
    pd.testing.assert_frame_equal(build(), first)
    assert [path.read_bytes() for path in kept] == whole


def test_an_encoder_repeats_itself_to_the_byte(tmp_path):
    """One that reads unwritten memory finds something else there every time."""
    rng, memory = np.random.default_rng(0), []
    for name in ("bouncing ball", "exploding duck", "knocking bottle"):
        frames, found = pictures(name, 3, size=96, frames=8), set()
        for _ in range(12):
            memory = [*memory[-4:], rng.integers(0, 255, rng.integers(1000, 200_000), dtype=np.uint8)]
            video.write_video(tmp_path / "a.mp4", frames, 12)
            found.add((tmp_path / "a.mp4").read_bytes())
        assert len(found) == 1, name


def test_a_color_in_the_name_is_that_of_the_thing(monkeypatch):
    monkeypatch.setattr(sets, "COLORS", {"red": (1, 0, 0)})
    for index in range(5):
        shown = pictures("red ball", index, size=64).astype(int)
        reddest = (shown[..., 0] - shown[..., 1:].max(-1)).max()
        assert reddest > 60, index
