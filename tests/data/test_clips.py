"""Clips from files and from the cache: the same frames, the right labels, and what happens to broken videos."""

import os
import pickle
import shutil
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import disk
import joblib
import numpy as np
import pandas as pd
import pytest
import torch
import trees
from trees import STEP, numbers

from aurl import UserError
from aurl.data import clips, proxies, video
from aurl.data.manifest import COLUMNS, read_manifest
from aurl.data.readers import features
from aurl.data.video import decoding, reading
from aurl.project import config
from aurl.project.paths import FRAMES, MANIFEST

COUNTS = [24, 12, 5]
CLASSES = ["run ball", "walk duck", "walk box"]

pytestmark = pytest.mark.usefixtures("in_process")


def clip(frames=4, stride=2, size=16, crop="squash", segments=1):
    return config.Clip(frames=frames, segments=segments, stride=stride, size=size, crop=crop)


def movie(path, count, shade=0):
    frames = np.arange(count, dtype=np.uint8)[:, None, None, None] * STEP + shade
    video.write_video(path, np.broadcast_to(frames, (count, 32, 32, 3)), 12)


@pytest.fixture(scope="module")
def movies(tmp_path_factory):
    folder = tmp_path_factory.mktemp("movies")
    for i, count in enumerate(COUNTS):
        movie(folder / f"{i}.mp4", count, shade=i)  # so that no two videos have the same frames
    return folder


@pytest.fixture
def manifest(movies, tmp_path):
    shutil.copytree(movies, tmp_path, dirs_exist_ok=True)
    return listed([tmp_path / f"{i}.mp4" for i in range(3)], ["walk duck", "run ball", "walk duck"])


def listed(paths, labels):
    """The manifest's rows of whole files, as chapter 1 writes them."""
    rows = [video.probe(path) for path in paths]
    about = dict(set="own", split="train", words="x", first=0)
    table = pd.DataFrame(rows).assign(path=[str(path) for path in paths], id=range(len(rows)), **about)
    return table.assign(**{"class": labels})[COLUMNS]


@pytest.fixture
def decode(manifest, tmp_path, monkeypatch):
    """`decode_once` on the manifest, which also counts the videos that it decodes."""
    monkeypatch.chdir(tmp_path)

    def counting(*arguments, **options):
        call.decoded += 1
        return video.read_clips(*arguments, **options)

    def call(table=manifest, size=16, limit_gb=1, name="set"):
        call.decoded = 0
        return clips.decode_once(table, size, name, limit_gb)

    call.decoded = 0
    monkeypatch.setattr(clips, "read_clips", counting)
    return call


def kept():
    """The caches that were kept, by name and size."""
    return sorted(path.name[:-17] for path in FRAMES.glob("*.npy"))


# --- items -----------------------------------------------------------------------------------------


def test_items_are_clips_and_labels(manifest):
    items = clips.Clips(manifest, CLASSES, clip(), count=3)
    assert len(items) == 3 and [label for _, label, _ in items] == items.labels == [1, 0, 1]
    for i, (found, _, mirrored) in enumerate(items):
        assert mirrored.tolist() == [False] * 3  # only random crops are
        assert found.shape == (3, 4, 16, 16, 3) and found.dtype == np.uint8
        assert numbers(found) == video.clip_indices(COUNTS[i], 4, 2, 3).tolist()


@pytest.mark.parametrize("seed, count", [(None, 1), (None, 3), (7, 1), (7, 3)])
def test_the_cache_gives_the_same_clips_as_the_files(manifest, decode, seed, count):
    cached = clips.Clips(manifest, CLASSES, clip(), count, seed, decode())
    files = clips.Clips(manifest, CLASSES, clip(), count, seed)
    for epoch in range(3):
        for i in range(3):
            for a, b in zip(cached.item(epoch, i), files.item(epoch, i), strict=True):
                np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("cached", [True, False])
def test_videos_of_other_classes_are_left_out(manifest, decode, cached):
    table = manifest.assign(**{"class": ["walk duck", "run ball", "walk box"]})
    items = clips.Clips(table, ["walk box", "walk duck"], clip(), 2, cache=decode() if cached else None)
    assert items.labels == [1, 0] and items.paths == [manifest["path"][0], manifest["path"][2]]
    assert [numbers(found) for found, _, _ in items] == [
        video.clip_indices(count, 4, 2, 2).tolist() for count in (24, 5)
    ]


@pytest.mark.parametrize("cached", [True, False])
def test_a_segment_lies_where_the_manifest_says(manifest, decode, cached):
    table = manifest[:2].assign(first=[6, 1], frames=[10, 8])
    items = clips.Clips(table, CLASSES, clip(), 2, cache=decode(table) if cached else None)
    for (found, *_), first, count in zip(items, (6, 1), (10, 8), strict=True):
        assert numbers(found) == (first + video.clip_indices(count, 4, 2, 2)).tolist()


def test_random_starts_are_those_of_seed_epoch_and_place(manifest, decode):
    frames = decode()

    def starts(seed, epoch):
        items = clips.Clips(manifest, CLASSES, clip(frames=2, stride=1), 5, seed, frames)
        return [numbers(items.item(epoch, i)[0][:, 0]) for i in range(len(items))]

    assert starts(0, 1) == starts(0, 1)
    assert starts(0, 1) != starts(0, 2) and starts(0, 1) != starts(1, 1)
    # One video in two places.
    manifest, frames = pd.concat([manifest[:1]] * 2, ignore_index=True), np.concatenate([frames[:24]] * 2)
    assert starts(0, 1)[0] != starts(0, 1)[1]
    assert starts(None, 1) == starts(None, 2)  # without a seed nothing is random


# --- batches ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("cached", [True, False])
def test_batches(manifest, decode, cached):
    items = clips.Clips(manifest, CLASSES, clip(), 2, cache=decode() if cached else None)
    batches = list(items.batches(2))
    assert [tuple(found.shape) for found, _, _ in batches] == [(2, 2, 4, 16, 16, 3), (1, 2, 4, 16, 16, 3)]
    assert batches[0][0].dtype == torch.uint8 and batches[0][1].dtype == torch.int64
    assert torch.cat([labels for _, labels, _ in batches]).tolist() == [1, 0, 1]
    np.testing.assert_array_equal(
        torch.cat([found for found, _, _ in batches]).numpy(), np.stack([found for found, _, _ in items])
    )
    assert len(items.batches(2)) == 2


@pytest.mark.parametrize("cached", [True, False])
def test_batches_follow_an_order_through_many_epochs(manifest, decode, cached):
    """The same worker processes serve all epochs, and each clip is that of its epoch."""
    items = clips.Clips(manifest, CLASSES, clip(), 2, seed=3, cache=decode() if cached else None)
    order = [[(0, 2), (0, 0)], [(1, 1), (1, 2)], [(7, 2)], [(0, 1)]]
    found = list(items.batches(2, order))
    assert len(items.batches(2, order)) == len(found) == 4
    for places, batch in zip(order, found, strict=True):
        for values, expected in zip(batch, zip(*(items.item(*place) for place in places)), strict=True):
            np.testing.assert_array_equal(values.numpy(), np.stack(expected))
    assert not np.array_equal(items.item(0, 0)[0], items.item(7, 0)[0])


def test_half_of_random_crops_are_to_be_mirrored(manifest):
    items = clips.Clips(manifest, CLASSES, clip(crop="crop"), 40, seed=3)
    _, _, mirrored = items[0]
    assert mirrored.dtype == bool and 10 < mirrored.sum() < 30
    assert mirrored.tolist() == items[0][2].tolist() != items.item(1, 0)[2].tolist()
    assert not clips.Clips(manifest, CLASSES, clip(crop="crop"), 2)[0][2].any()
    assert not clips.Clips(manifest, CLASSES, clip(crop="squash"), 40, seed=3)[0][2].any()


@pytest.mark.parametrize("cached", [True, False])
def test_clips_travel_to_other_processes(manifest, decode, cached):
    """With a cache in a file, only its place does."""
    items = clips.Clips(manifest, CLASSES, clip(), 2, seed=3, cache=decode() if cached else None)
    sent = pickle.dumps(items)
    assert len(sent) < 10_000
    for a, b in zip(items[1], pickle.loads(sent)[1], strict=True):
        np.testing.assert_array_equal(a, b)


# --- the cache -------------------------------------------------------------------------------------


def test_the_cache_holds_every_frame(decode, manifest):
    cache = decode()
    assert isinstance(cache, np.memmap) and not cache.flags.writeable
    assert cache.shape == (41, 16, 16, 3) and cache.dtype == np.uint8
    assert numbers(cache) == [*range(24), *range(12), *range(5)]
    assert kept() == ["set-16"] and len(os.listdir(FRAMES)) == 2


def test_the_cache_is_made_once(decode):
    first = np.array(decode())
    assert decode.decoded == 3
    np.testing.assert_array_equal(decode(), first)
    assert decode.decoded == 0


def test_the_cache_is_made_again_for_other_videos(decode, manifest):
    decode()
    movie(manifest["path"][2], 5, shade=100)
    again = listed(manifest["path"], manifest["class"])
    assert numbers(decode(again))[-5:] == [10, 11, 12, 13, 14] and decode.decoded == 3
    os.utime(manifest["path"][2], ns=(0, 0))  # only its bytes count
    assert len(decode(again)) == 41 and decode.decoded == 0
    assert len(decode(again[:2])) == 36 and decode.decoded == 2
    assert len(decode(again[1::-1])) == 36 and decode.decoded == 2  # in another order
    half = again.assign(first=[12, 0, 0], frames=[12, 12, 5])
    assert numbers(decode(half))[:12] == list(range(12, 24)) and decode.decoded == 3
    assert numbers(decode(half.assign(first=[8, 0, 0])))[:12] == list(range(8, 20)) and decode.decoded == 3
    assert kept() == ["set-16"]  # earlier ones would fill the disk
    (part := FRAMES / f".set-16-{'0' * 12}.npy.1.part").touch()  # a kill has left it
    decode(again)
    assert not part.exists()


def test_caches_of_different_sizes_lie_side_by_side(decode):
    """Variants of different `clip.size` need them at the same time."""
    for size in (16, 32, 16, 32):
        assert decode(size=size).shape == (41, size, size, 3)
    assert decode.decoded == 0 and kept() == ["set-16", "set-32"]


def test_runs_that_decode_at_the_same_time_get_their_own_frames(manifest, tmp_path, monkeypatch):
    """The same frames in two orders, so the files have equal sizes."""
    monkeypatch.chdir(tmp_path)

    def run(table):
        with joblib.parallel_config(backend="sequential"):
            return numbers(clips.decode_once(table, 16, "set", 1))

    with ThreadPoolExecutor(4) as pool:
        runs = [pool.submit(run, table) for table in (manifest, manifest[::-1]) * 2]
    forward, backward = [*range(24), *range(12), *range(5)], [*range(5), *range(12), *range(24)]
    assert [run.result() for run in runs] == [forward, backward] * 2


@pytest.mark.parametrize("key", ["", '{"videos": "12', "[]"])
def test_a_note_that_was_cut_short_does_not_count(decode, key):
    decode()
    (note,), (file,) = FRAMES.glob("*.key"), FRAMES.glob("*.npy")
    note.write_text(key)
    assert len(decode()) == 41 and decode.decoded == 3
    file.unlink()
    assert len(decode()) == 41 and decode.decoded == 3


def test_a_set_above_the_limit_is_not_cached(decode):
    gigabytes = 41 * 16 * 16 * 3 / 1e9
    assert decode(limit_gb=0.99 * gigabytes) is None and decode(limit_gb=0) is None
    assert decode.decoded == 0 and not FRAMES.exists()
    assert len(decode(limit_gb=1.01 * gigabytes)) == 41


def empty(path):
    open(path, "wb").close()


def cut(path):
    Path(path).write_bytes(Path(path).read_bytes()[:500])


CHANGED = "it has changed since it was listed; prepare the data again"


@pytest.mark.parametrize(
    "harm, reason",
    [(empty, CHANGED), (cut, CHANGED), (lambda path: movie(path, 12, shade=100), CHANGED),
     (os.unlink, "No such file or directory; prepare the data again")],
)  # fmt: skip
@pytest.mark.parametrize("cached", [True, False])
def test_a_video_that_changed_is_named_and_leaves_no_cache(decode, manifest, harm, reason, cached):
    path = manifest["path"][1]
    whole = Path(path).read_bytes()
    items = clips.Clips(manifest, CLASSES, clip())
    harm(path)
    with pytest.raises(video.VideoError) as caught:
        decode() if cached else list(items.batches(2))
    assert str(caught.value) == f"cannot read the video {path}: {reason}"
    assert not FRAMES.exists() or not os.listdir(FRAMES)
    Path(path).write_bytes(whole)
    assert numbers(decode()) == [*range(24), *range(12), *range(5)] and len(list(items.batches(2))) == 2


def test_the_frames_of_videos_that_changed_later_stay_those_that_were_listed(decode, manifest):
    decode()
    movie(manifest["path"][1], 12, shade=100)
    assert numbers(decode()) == [*range(24), *range(12), *range(5)] and decode.decoded == 0


def test_a_file_is_read_whole_once_and_again_after_it_was_touched(manifest, monkeypatch):
    read = []
    monkeypatch.setattr(clips, "check", lambda path, digest: read.append(path) or reading.check(path, digest))
    halves = pd.concat([manifest.assign(frames=2), manifest.assign(first=2, frames=3)], ignore_index=True)
    items = clips.Clips(halves, CLASSES, clip(2, 1), 1, seed=0)
    for _ in range(2):
        assert len(list(items)) == 6 and read == list(manifest["path"])
    other = clips.Clips(manifest, CLASSES, clip(), 1, seed=0)
    list(other.batches(1))  # by worker processes, which share what they know
    assert len(list(other)) == 3 and len(read) == 3
    movie(manifest["path"][0], 24, shade=100)
    os.utime(manifest["path"][0], ns=(0, 0))
    with pytest.raises(video.VideoError, match="0.mp4: it has changed since it was listed"):
        items[0]


def test_batches_from_a_slow_disk_keep_their_order(manifest, monkeypatch):
    """However late a video arrives: here the first one comes last."""
    read, first = clips.read_clips, manifest["path"][0]
    expected = [found for found, _, _ in clips.Clips(manifest, CLASSES, clip()).batches(1)]
    monkeypatch.setattr(
        clips, "read_clips", lambda path, *a, **b: time.sleep(0.3 * (path == first)) or read(path, *a, **b)
    )
    items = clips.Clips(manifest, CLASSES, clip())
    monkeypatch.setattr(clips, "workers", lambda *_: 2)
    for found, own in zip(items.batches(1), expected, strict=True):
        np.testing.assert_array_equal(found[0], own)


def test_a_full_disk_is_an_error_and_leaves_no_cache(decode):
    expected = r"set-16-.*npy cannot be written .*: make 0\.0 GB of room, or lower compute\.cache_gb\.$"
    with disk.full_at(20_000), pytest.raises(UserError, match=expected):  # it takes 31,488 bytes
        decode()
    assert not os.listdir(FRAMES)
    assert len(decode()) == 41


# --- segments --------------------------------------------------------------------------------------


def test_no_segment_is_decoded_from_the_start_of_its_file(tmp_path, monkeypatch):
    """Segments that begin at frame 0 once were."""
    trees.video(tmp_path / "long.mp4", frames=120)
    proxies.transcode(tmp_path / "long.mp4", tmp_path / "0.mp4", side=32, keyframe=4, crf=10)
    whole = listed([tmp_path / "0.mp4"], ["walk duck"])
    segments = pd.concat([whole.assign(first=first, frames=40) for first in (0, 40, 80)], ignore_index=True)
    monkeypatch.setattr(decoding, "decode", lambda *_, **__: pytest.fail("the whole file is decoded"))
    for seed in range(10):  # clips of 4 frames that begin anywhere in their segment
        assert [item[0].shape for item in clips.Clips(segments, CLASSES, clip(4, 1), 1, seed)] == [
            (1, 4, 16, 16, 3)
        ] * 3


# --- memory ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "batch_bytes, cores, free_bytes, expected",
    [
        (10**6, 2, 24e9, 2),  # small batches: every core reads
        (154e6, 128, 500e9, 128),  # 256 clips of 16 frames of 112 x 112 pixels
        (154e6, 128, 64e9, 34),  # 3 batches per process, 16 GB in all
        (963e6, 64, 8e9, 0),  # not even one process may read ahead
    ],
)
def test_batches_that_are_read_ahead_fill_a_quarter_of_the_free_memory(batch_bytes, cores, free_bytes, expected):
    found = clips.workers(batch_bytes, cores, free_bytes)
    assert sum([clips.workers(batch_bytes, cores, free_bytes, side_by_side=4)] * 4) <= max(found, 4)
    assert found == expected and found * (clips.PREFETCH + 1) * batch_bytes <= free_bytes / 4


def test_as_many_processes_read_as_the_memory_the_affinity_and_the_parameters_allow(manifest, monkeypatch):
    items = clips.Clips(manifest, CLASSES, clip())
    monkeypatch.setattr(clips.joblib, "cpu_count", lambda: 2)
    assert items.batches(2).num_workers == 2
    one = 3 * 2 * 4 * 16 * 16 * 3  # bytes that one process reads ahead
    monkeypatch.setattr(clips, "free_memory", lambda: 4 * one)
    assert items.batches(2).num_workers == 1
    monkeypatch.setattr(clips, "free_memory", lambda: 1000)
    assert items.batches(2).num_workers == 0 and len(list(items.batches(2))) == 2
    asked = SimpleNamespace(workers=2, workers_gb=None, pin_workers=False)
    for gigabytes, count in ((10 * one / 1e9, 2), (1.5 * one / 1e9, 1)):
        asked.workers_gb = gigabytes
        assert items.batches(2, compute=asked).num_workers == count
    asked.workers = 0
    assert items.batches(2, compute=asked).num_workers == 0


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="the system binds no process to cores")
def test_processes_that_read_are_bound_to_a_core_each(manifest):
    class Telling(clips.Clips):
        def item(self, epoch, i):
            clip, _, mirrored = super().item(epoch, i)
            return clip, max(os.sched_getaffinity(0)) if len(os.sched_getaffinity(0)) == 1 else -1, mirrored

    items = Telling(manifest, CLASSES, clip())
    for pin in (True, False):
        asked = SimpleNamespace(workers=2, workers_gb=None, pin_workers=pin)
        found = torch.cat([label for _, label, _ in items.batches(1, compute=asked)]).tolist()
        assert set(found) == (set(sorted(os.sched_getaffinity(0))[:2]) if pin else {-1})


# --- sets of the manifest --------------------------------------------------------------------------


@pytest.fixture
def project(manifest, tmp_path, monkeypatch):
    """A working directory with a manifest; gives the parameters that `open_set` reads."""
    monkeypatch.chdir(tmp_path)
    table = manifest.assign(
        set=["pairs-seen", "pairs-seen", "verbs-unseen"], split=["train", "val", "test"], status="ok"
    )
    bad = table[:1].assign(path="nowhere.mp4", frames=0, status="it does not exist")
    MANIFEST.parent.mkdir()
    pd.concat([bad, table]).to_csv(MANIFEST, index=False)
    return SimpleNamespace(clip=clip(), compute=SimpleNamespace(cache_gb=1))


def test_open_set(project, manifest):
    train = clips.open_set(project, "pairs-seen", "train", CLASSES, seed=1)
    novel = clips.open_set(project, "verbs-unseen", "test", CLASSES, count=2)
    assert len(train) == len(novel) == 1  # the bad video is left out
    assert train.labels == [1] and train.cache is not None
    assert novel[0][0].shape == (2, 4, 16, 16, 3) and train.paths == [manifest["path"][0]]
    assert kept() == ["pairs-seen-train-16", "verbs-unseen-test-16"]
    project.compute.cache_gb = 0
    assert clips.open_set(project, "pairs-seen", "val", CLASSES).cache is None


def test_segments_multiply_the_clips(project):
    project.clip = clip(segments=3)
    for count in (1, 2):
        items = clips.open_set(project, "pairs-seen", "train", CLASSES, count=count)
        assert numbers(items[0][0]) == video.clip_indices(24, 4, 2, 3 * count).tolist()
    train = clips.open_set(project, "pairs-seen", "train", CLASSES, seed=1)
    starts = np.array([numbers(train.item(epoch, 0)[0][:, 0]) for epoch in range(60)])  # of segments of 8 frames
    assert [set(column) for column in starts.T] == [{0, 1}, {8, 9}, {16, 17}]  # a clip spans 7


def test_segments_multiply_features_too(project, tmp_path):
    np.savez(tmp_path / "set.npz", features=np.arange(8.0).reshape(2, 4, 1), labels=["a", "b"])
    rows = features.read(tmp_path / "set.npz").assign(set="own", split="train", words="")
    rows[COLUMNS].to_csv(MANIFEST, index=False)
    project.clip = clip(segments=2)
    for count, expected in ((1, [4, 6]), (2, [4, 5, 6, 7])):
        opened = clips.open_set(project, "own", "train", ["a", "b"], count=count)
        values, _, _ = next(opened.batches(1, [[(0, 1)]]))
        assert values[0, :, 0].tolist() == expected


def test_several_sets_are_one_with_their_classes_merged_by_name(project, manifest):
    rows = pd.read_csv(MANIFEST)
    both = pd.concat([rows, rows[rows["split"] == "train"].assign(set="other")])
    both.to_csv(MANIFEST, index=False)
    one, two = (clips.open_set(project, names, "train", CLASSES) for names in ("pairs-seen", ["pairs-seen", "other"]))
    assert len(two) == 2 * len(one) and two.labels == 2 * one.labels
    assert (two.cache[slice(*two.spans[1])] == one.cache[slice(*one.spans[0])]).all()
    with pytest.raises(UserError, match="has no train videos of verbs-unseen"):
        clips.open_set(project, ["pairs-seen", "verbs-unseen"], "train", CLASSES)


def test_missing_sets(project):
    with pytest.raises(UserError, match=r"manifest\.csv has no test videos of other: [^.]*\.$"):
        clips.open_set(project, "other", "test", CLASSES)
    os.unlink(MANIFEST)
    with pytest.raises(UserError, match=r"manifest\.csv is missing: [^.]*\.$"):
        clips.open_set(project, "pairs-seen", "train", CLASSES)
    assert not FRAMES.exists()


def test_a_table_of_another_kind_is_refused(project):
    for text, reason in (("", "is not a manifest of this project"), ("id,path\n1,2\n", "has no column 'set'")):
        MANIFEST.write_text(text)
        with pytest.raises(UserError, match=rf"^data/manifest\.csv {reason}.*: prepare the data again, [^.]*\.$"):
            clips.open_set(project, "pairs-seen", "train", CLASSES)


def test_names_that_look_like_numbers_or_like_nothing_are_names(project, manifest):
    table = manifest.assign(**{"class": ["1", "01", "null"]}, id=["1", "2", "3"], digest=["1e5", "2e5", "3e5"])
    table.to_csv(MANIFEST, index=False)
    rows = read_manifest()
    assert rows["class"].tolist() == ["1", "01", "null"] and rows["digest"].tolist() == ["1e5", "2e5", "3e5"]
    pd.testing.assert_frame_equal(rows.drop(columns="id"), table.drop(columns="id"), check_dtype=False)
