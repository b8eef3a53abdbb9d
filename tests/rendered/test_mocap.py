"""The motion capture: which classes are shared, that no video depends on others, and files as the manifest says."""

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from aurl import text
from aurl.data import video
from aurl.data.manifest import COLUMNS
from aurl.project import config
from aurl.rendered import mocap, scene

VECTORS = Path(__file__).parents[2] / "data" / "vectors" / "glove-6b-100d-actions.bin"
drawn = pytest.mark.skipif(not find_spec("pybullet"), reason="pybullet, which draws it, is not installed")


def one(action="walk", companion="duck", index=0, name=None):
    return mocap.Video("mocap-seen", "train", name or f"{action} {companion}", action, companion, index)


def pictures(video, seed=0, size=32, frames=6):
    return mocap.render(video, seed, size, frames, fps=6)[1]


def pairs(*sets):
    return {(action, companion) for name, action, companion in mocap.classes() if name in sets}


# --- classes and splits ----------------------------------------------------------------------------


def test_no_class_is_shared():
    assert [len(pairs(name)) for name in mocap.SETS] == [56, 24]
    assert len(mocap.classes()) == len(pairs(*mocap.SETS)) == len(mocap.ACTIONS) * len(mocap.COMPANIONS) == 80
    assert len({f"{action} {companion}" for _, action, companion in mocap.classes()}) == 80


def test_composed_classes_are_new_pairs_of_what_was_seen():
    actions, companions = ({pair[i] for pair in pairs("mocap-seen")} for i in (0, 1))
    assert companions == set(mocap.COMPANIONS) and len(actions) == 10
    for action, companion in pairs("mocap-composed"):
        assert action in actions and companion in companions


def test_videos_of_each_class():
    everything = mocap.videos(train=3, val=2, test=4)
    assert len(everything) == 56 * 5 + 24 * 4 and len({video.id for video in everything}) == len(everything)
    kinds = {}
    for v in everything:
        assert v.name == f"{v.action} {v.companion}" and (v.set, v.action, v.companion) in mocap.classes()
        kinds.setdefault((v.set, v.name), []).append((v.index, v.split))
    for (name, _), found in kinds.items():
        expected = ["train"] * 3 + ["val"] * 2 if name == "mocap-seen" else ["test"] * 4
        assert found == list(enumerate(expected))


def test_parts_are_those_of_every_class():
    parts = mocap.parts()
    assert len(parts) == 80 and parts["spin kick table"] == ("spin kick", "table")
    assert {(action, companion) for _, action, companion in mocap.classes()} == set(parts.values())


def test_every_class_name_has_a_vector_of_its_own():
    names = [f"{action} {companion}" for _, action, companion in mocap.classes()]
    vectors = text.WordVectors.load(VECTORS).embed(names)
    cosines = vectors @ vectors.T / np.outer(*[np.linalg.norm(vectors, axis=1)] * 2)
    assert np.triu(cosines, 1).max() < 0.99


# --- pictures --------------------------------------------------------------------------------------


@drawn
def test_a_video_depends_on_nothing_that_was_rendered_before():
    first = {v: pictures(v) for v in (one("walk", "duck"), one("kick", "table"), one("roll", "box", 3))}
    for v in reversed(first):
        np.testing.assert_array_equal(pictures(v), first[v])
    np.testing.assert_array_equal(pictures(one("walk", "duck")), first[one("walk", "duck")])


@drawn
def test_videos_differ_by_number_class_and_seed():
    base = pictures(one())
    assert base.shape == (6, 32, 32, 3) and base.dtype == np.uint8
    for other in (
        pictures(one(index=1)),
        pictures(one(), seed=1),
        pictures(one("roll")),
        pictures(one(companion="bear")),
    ):
        assert abs(other.astype(int) - base).mean() > 5
    assert abs(np.diff(base.astype(int), axis=0)).max(axis=(1, 2, 3)).min() > 10  # every frame shows another moment


@drawn
def test_both_clips_of_an_action_are_used():
    for action, names in mocap.ACTIONS.items():
        count = 12 if len(names) > 1 else 1
        assert {mocap.render(one(action, index=i), 0, 16, 1, 12)[0] for i in range(count)} == set(names)


@drawn
@pytest.mark.parametrize("companion", mocap.COMPANIONS)
def test_the_companion_is_in_the_picture(companion, monkeypatch):
    """A video's random numbers come from its class name alone, so another companion changes nothing else."""
    monkeypatch.setitem(scene._BOXES, "nothing", [])
    monkeypatch.setitem(scene._COLORS, "nothing", (0, 0, 0))
    shares = []
    for index in range(6):
        with_it, without = (
            pictures(one("walk", thing, index, name="x"), size=48, frames=3).astype(int)
            for thing in (companion, "nothing")
        )
        shares.append((abs(with_it - without).max(axis=-1) > 20).mean())
    assert np.median(shares) > 0.01 and max(shares) < 0.4 and sum(share > 0.003 for share in shares) >= 5


@drawn
@pytest.mark.parametrize("action", mocap.ACTIONS)
def test_the_actor_is_in_the_picture(action, monkeypatch):
    """The actor is what moves: neither too little nor too much of the picture."""
    monkeypatch.setitem(scene._BOXES, "nothing", [])
    monkeypatch.setitem(scene._COLORS, "nothing", (0, 0, 0))
    frames = np.concatenate(
        [pictures(one(action, "nothing", i), size=48, frames=12).astype(int)[None] for i in range(3)]
    )
    moved = (abs(frames - np.median(frames, axis=1, keepdims=True)).max(axis=-1) > 20).mean(axis=(1, 2, 3))
    assert (moved > 0.01).all() and (moved < 0.5).all()


@drawn
def test_nothing_is_printed(capfd):
    pictures(one("walk", "rabbit"))
    pictures(one("walk", "ball"))
    assert capfd.readouterr() == ("", "")


@drawn
def test_a_file_repeats_itself_to_the_byte(tmp_path):
    """An encoder that reads unwritten memory finds something else there every time."""
    rng, rubbish = np.random.default_rng(0), []
    for action, companion in [
        ("backflip", "duck"),
        ("jump", "duck"),
        ("walk", "ring"),
        ("kick", "ball"),
        ("roll", "pole"),
        ("get up", "box"),
    ]:
        _, frames = mocap.render(one(action, companion), 3, 96, 8, 12)
        found = set()
        for _ in range(12):
            rubbish = [*rubbish[-4:], rng.integers(0, 255, rng.integers(1000, 200_000), dtype=np.uint8)]
            video.write_video(tmp_path / "a.mp4", frames, 12)
            found.add((tmp_path / "a.mp4").read_bytes())
        assert len(found) == 1, (action, companion)


@drawn
def test_pictures_do_not_depend_on_how_many_were_drawn_before(monkeypatch):
    """The renderer rounds every second picture otherwise; in this video it shows."""
    monkeypatch.setitem(mocap.ACTIONS, "punch", ["punch"])
    first, second = (mocap.render(one("punch", "ball", 10), 0, 64, 3, 12)[1] for _ in range(2))
    np.testing.assert_array_equal(first, second)


# --- the set as files ------------------------------------------------------------------------------


@drawn
def test_build_writes_what_the_manifest_says(tmp_path, monkeypatch):
    chosen = [v for v in mocap.videos(1, 1, 1) if v.name in ("walk duck", "walk ball", "spin kick table", "kick box")]
    monkeypatch.setattr(mocap, "videos", lambda train, val, test: list(chosen))
    monkeypatch.chdir(tmp_path)
    params = config.sections.Mocap(seed=3, size=32, frames=5, fps=12, train_videos=1, val_videos=1, test_videos=1)
    manifest = mocap.build("data/mocap", params)
    assert list(manifest.columns) == COLUMNS
    assert manifest["id"].tolist() == sorted(v.id for v in chosen) and (manifest["status"] == "ok").all()
    assert sorted(manifest["path"]) == sorted(path.as_posix() for path in Path("data").rglob("*.mp4"))
    for v in chosen:
        row = manifest.set_index("id").loc[v.id]
        assert (row["set"], row["split"], row["class"], row["words"]) == (v.set, v.split, v.name, v.name)
        assert mocap.parts()[row["class"]] == (v.action, v.companion)
        assert row["path"] == f"data/mocap/{v.set}/{v.name.replace(' ', '_')}/{v.index:03d}.mp4"
        probed = video.probe(row["path"])
        assert probed.pop("times") == []  # of a constant rate
        assert row[list(probed)].to_dict() == probed and row["first"] == 0
        assert [probed[name] for name in ("frames", "fps", "width", "height", "status")] == [5, 12, 32, 32, "ok"]
        _, expected = mocap.render(v, 3, 32, 5, 12)  # in another process than the file's
        video.write_video("again.mp4", expected, 12)
        assert Path("again.mp4").read_bytes() == Path(row["path"]).read_bytes()
        assert abs(video.read_frames(row["path"]).astype(int) - expected).mean() < 6
