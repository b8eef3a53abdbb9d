"""Clips from files and from the cache: the same frames, the right labels, and what happens to broken videos."""

import os
import resource

import numpy as np
import pandas as pd
import pytest
import torch

from aurl import UserError, config, video
from aurl.datasets import MANIFEST
from aurl.video import clips

STEP = 10  # grey levels between two frames: more than encoding loses
COUNTS = [24, 12, 5]
CLASSES = ["run ball", "walk duck", "walk box"]

pytestmark = pytest.mark.usefixtures("in_process")


def clip(frames=4, stride=2, size=16):
    return config.Clip(frames=frames, stride=stride, size=size, crop="squash")


def movie(path, count, shade=0):
    frames = np.arange(count, dtype=np.uint8)[:, None, None, None] * STEP + shade
    video.write_video(path, np.broadcast_to(frames, (count, 32, 32, 3)), 12)


def numbers(frames):
    """The numbers that (..., H, W, 3) frames carry."""
    return np.rint(frames.mean((-3, -2, -1)) / STEP).astype(int).tolist()


@pytest.fixture
def manifest(tmp_path):
    for i, count in enumerate(COUNTS):
        movie(tmp_path / f"{i}.mp4", count)
    paths = [str(tmp_path / f"{i}.mp4") for i in range(3)]
    return pd.DataFrame({"path": paths, "class": ["walk duck", "run ball", "walk duck"], "first": 0, "frames": COUNTS})


@pytest.fixture
def decode(manifest, tmp_path, monkeypatch):
    """`decode_once` on the manifest, which also counts the videos that it decodes."""

    def counting(path, size):
        call.decoded += 1
        return video.read_frames(path, size)

    def call(table=manifest, size=16, limit_gb=1):
        call.decoded = 0
        return clips.decode_once(table, size, call.file, limit_gb)

    monkeypatch.setattr(clips, "read_frames", counting)
    call.file = tmp_path / "build" / "frames" / "set.npy"
    return call


# --- items -----------------------------------------------------------------------------------------


def test_items_are_clips_and_labels(manifest):
    items = clips.Clips(manifest, CLASSES, clip(), count=3)
    assert len(items) == 3 and [label for _, label in items] == items.labels == [1, 0, 1]
    for i, (found, _) in enumerate(items):
        assert found.shape == (3, 4, 16, 16, 3) and found.dtype == np.uint8
        assert numbers(found) == video.clip_indices(COUNTS[i], 4, 2, 3).tolist()


@pytest.mark.parametrize("seed, count", [(None, 1), (None, 3), (7, 1), (7, 3)])
def test_the_cache_gives_the_same_clips_as_the_files(manifest, decode, seed, count):
    cached = clips.Clips(manifest, CLASSES, clip(), count, seed, decode())
    files = clips.Clips(manifest, CLASSES, clip(), count, seed)
    for epoch in range(3):
        cached.epoch = files.epoch = epoch
        for (a, label), (b, same) in zip(cached, files, strict=True):
            np.testing.assert_array_equal(a, b)
            assert label == same


@pytest.mark.parametrize("cached", [True, False])
def test_videos_of_other_classes_are_passed_over(manifest, decode, cached):
    items = clips.Clips(manifest.assign(**{"class": ["walk duck", "run ball", "walk box"]}), ["walk box", "walk duck"], clip(), 2,
                        cache=decode() if cached else None)  # fmt: skip
    assert items.labels == [1, 0] and items.paths == [manifest["path"][0], manifest["path"][2]]
    assert [numbers(found) for found, _ in items] == [video.clip_indices(count, 4, 2, 2).tolist() for count in (24, 5)]


def test_random_starts_are_those_of_seed_epoch_and_place(manifest, decode):
    frames = decode()

    def starts(seed, epoch):
        items = clips.Clips(manifest, CLASSES, clip(frames=2, stride=1), 5, seed, frames)
        items.epoch = epoch
        return [numbers(found[:, 0]) for found, _ in items]

    assert starts(0, 1) == starts(0, 1)
    assert starts(0, 1) != starts(0, 2) and starts(0, 1) != starts(1, 1)
    manifest, frames = (
        pd.concat([manifest[:1]] * 2, ignore_index=True),
        np.concatenate([frames[:24]] * 2),
    )  # one video, in two places
    assert starts(0, 1)[0] != starts(0, 1)[1]
    assert starts(None, 1) == starts(None, 2)  # no seed, no chance


def test_the_order_of_reading_does_not_matter(manifest):
    forth, back = (clips.Clips(manifest, CLASSES, clip(), 1, 3) for _ in range(2))
    expected = [forth[i][0] for i in (0, 1, 2)]
    for i in (2, 0, 1):
        np.testing.assert_array_equal(back[i][0], expected[i])


# --- batches ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("cached", [True, False])
def test_batches(manifest, decode, cached):
    items = clips.Clips(manifest, CLASSES, clip(), 2, cache=decode() if cached else None)
    batches = list(items.batches(2))
    assert [tuple(found.shape) for found, _ in batches] == [(2, 2, 4, 16, 16, 3), (1, 2, 4, 16, 16, 3)]
    assert batches[0][0].dtype == torch.uint8 and batches[0][1].dtype == torch.int64
    assert torch.cat([labels for _, labels in batches]).tolist() == [1, 0, 1]
    np.testing.assert_array_equal(
        torch.cat([found for found, _ in batches]).numpy(), np.stack([found for found, _ in items])
    )
    shuffle = torch.Generator().manual_seed(0)
    assert (
        len(items.batches(2)) == 2 and len(items.batches(2, shuffle)) == len(list(items.batches(2, shuffle))) == 1
    )  # whole ones
    assert (
        len(list(items.batches(1, shuffle))) == 3
        and len(items.batches(1, shuffle, limit=2)) == len(list(items.batches(1, shuffle, limit=2))) == 2
    )


def test_a_shuffle_follows_its_generator(decode, manifest):
    many = pd.concat([manifest] * 5, ignore_index=True)
    items = clips.Clips(many, CLASSES, clip(), cache=np.concatenate([decode()] * 5))

    def order(seed):
        return torch.cat(
            [found.sum(dim=(1, 2, 3, 4, 5)) for found, _ in items.batches(5, torch.Generator().manual_seed(seed))]
        ).tolist()

    assert order(0) == order(0) != order(1) and sorted(order(0)) == sorted(order(1))


@pytest.mark.parametrize("cached", [True, False])
def test_an_error_comes_whole_out_of_a_batch(manifest, decode, cached):
    """From a worker process, torch brings an error's text and traceback only."""

    class Broken(clips.Clips):
        def __getitem__(self, i):
            return video.read_frames(self.paths[i]), 0

    items = Broken(manifest, CLASSES, clip(), cache=decode() if cached else None)  # with a cache there are no workers
    empty(manifest["path"][1])
    with pytest.raises(video.VideoError) as caught:
        list(items.batches(2))
    assert str(caught.value) == f"cannot read the video {manifest['path'][1]}: it is empty"


# --- the cache -------------------------------------------------------------------------------------


def test_the_cache_holds_every_frame(decode, manifest):
    cache = decode()
    assert (
        isinstance(cache, np.memmap)
        and cache.shape == (41, 16, 16, 3)
        and cache.dtype == np.uint8
        and not cache.flags.writeable
    )
    assert numbers(cache) == [*range(24), *range(12), *range(5)]
    assert sorted(os.listdir(decode.file.parent)) == ["set.json", "set.npy"]


def test_the_cache_is_made_once(decode):
    first = np.array(decode())
    assert decode.decoded == 3
    np.testing.assert_array_equal(decode(), first)
    assert decode.decoded == 0


def test_the_cache_is_made_again_for_other_videos_or_another_size(decode, manifest):
    decode()
    movie(manifest["path"][2], 5, shade=100)
    assert numbers(decode())[-5:] == [10, 11, 12, 13, 14] and decode.decoded == 3
    os.utime(manifest["path"][2], ns=(0, 0))  # another video may be as large
    assert len(decode()) == 41 and decode.decoded == 3
    assert decode(size=32).shape == (41, 32, 32, 3) and decode.decoded == 3
    assert len(decode(manifest[:2], 32)) == 36 and decode.decoded == 2
    assert len(decode(manifest[1::-1], 32)) == 36 and decode.decoded == 2  # in another order


@pytest.mark.parametrize("key", ["", '{"videos": "12', "[]"])
def test_a_key_that_was_cut_short_is_no_key(decode, key):
    decode()
    decode.file.with_suffix(".json").write_text(key)
    assert len(decode()) == 41 and decode.decoded == 3
    decode.file.unlink()
    assert len(decode()) == 41 and decode.decoded == 3


def test_a_set_above_the_limit_is_not_cached(decode):
    gigabytes = 41 * 16 * 16 * 3 / 1e9
    assert decode(limit_gb=0.99 * gigabytes) is None and decode(limit_gb=0) is None
    assert decode.decoded == 0 and not decode.file.parent.exists()
    assert len(decode(limit_gb=1.01 * gigabytes)) == 41


def empty(path):
    open(path, "wb").close()


def cut(path):
    content = open(path, "rb").read()
    open(path, "wb").write(content[: len(content) // 2])


@pytest.mark.parametrize(
    "harm, reason",
    [
        (empty, "it is empty"),
        (cut, "it cannot be decoded"),
        (os.unlink, "No such file or directory; prepare the data again"),
        (lambda path: movie(path, 7), "it has 7 frames where the manifest says 12; prepare the data again"),
    ],
)
def test_a_bad_video_is_named_and_leaves_no_cache(decode, manifest, harm, reason):
    path = manifest["path"][1]
    harm(path)
    with pytest.raises(video.VideoError) as caught:
        decode()
    assert str(caught.value).startswith(f"cannot read the video {path}: {reason}")
    assert not decode.file.parent.exists() or not os.listdir(decode.file.parent)
    movie(path, 12)
    assert numbers(decode()) == [*range(24), *range(12), *range(5)]


def test_a_bad_video_never_leaves_an_older_cache_in_force(decode, manifest):
    decode()
    whole = open(manifest["path"][1], "rb").read()
    empty(manifest["path"][1])
    for _ in range(2):
        with pytest.raises(video.VideoError):
            decode()
    assert not decode.file.with_suffix(".json").exists()
    open(manifest["path"][1], "wb").write(whole)
    assert len(decode()) == 41 and decode.decoded == 3


def test_a_bad_video_is_named_through_processes(manifest, tmp_path, capfd):
    import joblib

    empty(manifest["path"][1])
    with joblib.parallel_config(backend="loky"), pytest.raises(video.VideoError, match="1.mp4: it is empty"):
        clips.decode_once(manifest, 16, tmp_path / "build" / "set.npy", 1)
    assert os.listdir(tmp_path / "build") == [] and "Traceback" not in capfd.readouterr().err


def test_a_full_disk_is_said_and_leaves_no_cache(decode):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, hard))  # of 31,488 bytes: fails like a full disk
    try:
        with pytest.raises(
            UserError, match=r"set\.npy cannot be written .*: make 0\.0 GB of room, or lower compute\.cache_gb\.$"
        ):
            decode()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert not os.listdir(decode.file.parent)
    assert len(decode()) == 41


# --- sets of the manifest --------------------------------------------------------------------------


@pytest.fixture
def project(manifest, tmp_path, monkeypatch):
    """A working directory with a manifest; gives the parameters that `open_set` reads."""
    monkeypatch.chdir(tmp_path)
    table = manifest.assign(
        set=["mocap-seen", "mocap-seen", "mocap-novel"], split=["train", "val", "test"], status="ok"
    )
    bad = table[:1].assign(path="nowhere.mp4", frames=0, status="it does not exist")
    MANIFEST.parent.mkdir()
    pd.concat([bad, table]).to_csv(MANIFEST, index=False)
    params = config.load(
        os.path.join(os.path.dirname(__file__), os.pardir, "params.yaml"), sections=["clip", "compute"]
    )
    params.clip = clip()
    return params


def test_open_set(project, manifest):
    train = clips.open_set(project, "mocap-seen", "train", CLASSES, seed=1)
    novel = clips.open_set(project, "mocap-novel", "test", CLASSES, count=2)
    assert (
        len(train) == len(novel) == 1 and train.labels == [1] and train.cache is not None
    )  # the bad video is left out
    assert novel[0][0].shape == (2, 4, 16, 16, 3) and train.paths == [manifest["path"][0]]
    assert sorted(os.listdir(clips.FRAMES)) == [
        f"mocap-{name}.{end}" for name in ("novel-test", "seen-train") for end in ("json", "npy")
    ]
    project.compute = project.compute.model_copy(update={"cache_gb": 0})
    assert clips.open_set(project, "mocap-seen", "val", CLASSES).cache is None


def test_several_sets_are_one_with_their_classes_merged_by_name(project, manifest):
    rows = pd.read_csv(MANIFEST)
    both = pd.concat([rows, rows[rows["split"] == "train"].assign(set="mocap-composed")])
    both.to_csv(MANIFEST, index=False)
    one, two = (
        clips.open_set(project, names, "train", CLASSES) for names in ("mocap-seen", ["mocap-seen", "mocap-composed"])
    )
    assert len(two) == 2 * len(one) and two.labels == 2 * one.labels
    assert (two.cache[slice(*two.spans[1])] == one.cache[slice(*one.spans[0])]).all()
    with pytest.raises(UserError, match="has no train videos of mocap-novel"):
        clips.open_set(project, ["mocap-seen", "mocap-novel"], "train", CLASSES)


def test_sets_that_are_not_there(project):
    with pytest.raises(UserError, match=r"manifest\.csv has no test videos of mocap-composed: [^.]*\.$"):
        clips.open_set(project, "mocap-composed", "test", CLASSES)
    os.unlink(MANIFEST)
    with pytest.raises(UserError, match=r"manifest\.csv is missing: [^.]*\.$"):
        clips.open_set(project, "mocap-seen", "train", CLASSES)
    assert not clips.FRAMES.exists()
