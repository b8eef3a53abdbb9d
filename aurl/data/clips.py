"""Clips of the videos in a manifest, read from files or from a cache of decoded frames."""

import functools
import os
import signal
from contextlib import suppress
from pathlib import Path

import av
import joblib
import numpy as np
import torch

from aurl import UserError
from aurl.data.features import FixedFeatures
from aurl.data.manifest import read_manifest
from aurl.data.readers.features import CODEC
from aurl.data.video.reading import RESIZE, check, clip_indices, read_clips, stamp
from aurl.project import cache
from aurl.project.files import locked, replacing
from aurl.project.paths import FRAMES, merged
from aurl.project.progress import SIDE_BY_SIDE, local_processes, parallel

PREFETCH = 2  # batches that each worker process reads ahead


def open_set(params, names, split, classes, count=1, seed=None):
    """`Clips` of one split of one data set in the manifest, or of a list of them; `FixedFeatures` of features.

    The videos are decoded once, into a cache, if they are squashed rather than cropped and the cache is small enough.
    ``params`` has the sections ``clip`` and ``compute``; the other arguments are those of `Clips`, but that ``count``
    clips come of each of the ``clip.segments`` that a video is seen in. Raises UserError if the manifest is missing or
    has no such videos.
    """
    manifest = read_manifest(names, split)
    if manifest["codec"].iloc[0] == CODEC:  # chapter 1 has no mixed sets
        return FixedFeatures(manifest, classes, count * params.clip.segments, seed)
    cache = None
    if params.clip.crop == "squash":  # crops are cut out of larger pictures than those that are kept
        name = f"{merged(manifest['set'].unique())}-{split}"
        cache = decode_once(manifest, params.clip.size, name, params.compute.cache_gb)
    return Clips(manifest, classes, params.clip, count * params.clip.segments, seed, cache)


class Clips(torch.utils.data.Dataset):
    """Item i is ``(clips, label, mirrored)`` of the manifest's row i: uint8 ``(clips, T, size, size, 3)``, an int, and
    bool ``(clips,)``, which clips are still to be mirrored left to right.

    Args:
        manifest: rows with the columns ``id``, ``class``, ``path``, ``first``, ``frames`` and ``digest`` of
            `aurl.data.manifest.COLUMNS`, and without a cache also ``fps`` and ``duration``. Rows of other classes are
            passed over.
        classes: class names; a label is a place in this list.
        clip: the ``clip`` section of ``params.yaml``.
        count: clips per video.
        seed: if given, clips begin at random in their segments, anew in every epoch; with ``clip.crop: crop`` they are
            also cut out at a random place, and half of them are to be mirrored.
        cache: every frame of the manifest's videos, as `decode_once` returns it.

    An item that cannot be read is a VideoError, and so is one whose file no longer has the manifest's digest.
    """

    dim = None  # of features; here are pictures

    def __init__(self, manifest, classes, clip, count=1, seed=None, cache=None):
        places = {name: label for label, name in enumerate(classes)}
        ends = manifest["frames"].cumsum()
        rows = manifest.assign(start=ends - manifest["frames"], end=ends)[manifest["class"].isin(places)]
        self.ids, self.digests = list(rows["id"]), list(rows["digest"])
        self.paths = list(rows["path"])
        self.segments = list(zip(rows["first"], rows["frames"]))  # of a video's frames in its file
        self.labels = [places[name] for name in rows["class"]]
        self.spans = list(zip(rows["start"], rows["end"]))  # of a video's frames in the cache
        self.clip, self.count, self.seed = clip, count, seed
        self.cache, self.threads = cache, 1  # threads that decode one file; they change no pixel
        if cache is None:
            self.file_frames = _file_frames(rows)
            codes, files = rows["path"].factorize()
            self.files = codes.tolist()
            # Modification times at which a file had its digest; worker processes share them, so that each file is
            # read whole only once, and again only after it was touched.
            self.checked = torch.full((len(files),), -1, dtype=torch.int64).share_memory_()

    def facts(self):
        """All that decides the clips and labels that come, as JSON can hold it."""
        segments = [[int(first), int(frames)] for first, frames in self.segments]
        sampling = {"clip": self.clip.model_dump(), "count": self.count, "seed": self.seed}
        return {"videos": self.digests, "segments": segments, "labels": self.labels} | sampling

    def __len__(self):
        return len(self.paths)

    def __getitem__(self, i):
        return self.item(0, i)

    def item(self, epoch, i):
        """Item ``i`` as it is in an epoch, a number on which its random clips depend."""
        rng = None if self.seed is None else np.random.default_rng([self.seed, epoch, i])
        crop = self.clip.crop == "crop"
        if self.cache is None:
            self._check(i)
            first, total = self.segments[i]
            clips = read_clips(
                self.paths[i], self.clip.frames, self.clip.stride, self.count, self.clip.size, rng,
                first=first, total=total, file_frames=self.file_frames[i], crop=crop, threads=self.threads,
            )  # fmt: skip
        else:
            start, end = self.spans[i]
            chosen = clip_indices(end - start, self.clip.frames, self.clip.stride, self.count, rng)
            clips = self.cache[start + chosen]
        mirrored = rng.random(self.count) < 0.5 if crop and rng else np.zeros(self.count, bool)
        return clips, self.labels[i], mirrored

    def __getitems__(self, places):
        """The items of a batch, or the error of one: torch would bring only the error's text out of a worker."""
        try:
            return [self.item(*place) for place in places]
        except UserError as error:
            return type(error)(*error.args)  # without the frames of its causes, which keep the processes alive

    def batches(self, size, order=None, compute=None):
        """A DataLoader of uint8 ``(N, clips, T, size, size, 3)``, labels ``(N,)`` and ``mirrored`` ``(N, clips)``.

        By default all videos come once, ``size`` at a time, in their order. ``order`` lists the places of each batch
        instead, as pairs (epoch, i), ``size`` of them at most. One loader may so go through many epochs, and its worker
        processes decode the next one while the last is still trained on. Without a cache, ``compute`` says how many
        there are; see that section of ``params.yaml``.
        """
        if order is None:
            order = [
                [(0, i) for i in range(first, min(first + size, len(self)))] for first in range(0, len(self), size)
            ]
        count = 0
        if self.cache is None:
            batch_bytes = size * self.count * self.clip.frames * self.clip.size**2 * 3
            cores, runs = joblib.cpu_count(), int(os.environ.get(SIDE_BY_SIDE, 1)) * local_processes()
            count = workers(batch_bytes, cores, free_memory(), runs, compute)
            self.threads = 2 if count * runs < cores else 1
        return _Loader(
            self, batch_sampler=order, num_workers=count, prefetch_factor=PREFETCH if count else None,
            collate_fn=_collate, pin_memory=torch.cuda.is_available(),
            worker_init_fn=functools.partial(_begin, pin=bool(compute and compute.pin_workers), workers=count),
        )  # fmt: skip

    def __getstate__(self):
        """What another process needs: of a cache in a file, only where it is."""
        state = dict(vars(self))
        if isinstance(self.cache, np.memmap):
            state["cache"] = Path(self.cache.filename)
        return state

    def __setstate__(self, state):
        vars(self).update(state)
        if isinstance(self.cache, Path):
            self.cache = np.load(self.cache, mmap_mode="r")

    def _check(self, i):
        path, file = self.paths[i], self.files[i]
        _, changed = stamp(path)
        if self.checked[file] != changed:
            check(path, self.digests[i])
            self.checked[file] = changed


class _Loader(torch.utils.data.DataLoader):
    def __iter__(self):
        for batch in super().__iter__():
            if isinstance(batch, UserError):
                raise batch
            yield batch


def _collate(items):
    if isinstance(items, UserError):
        return items
    clips, labels, mirrored = zip(*items, strict=True)
    return torch.from_numpy(np.stack(clips)), torch.tensor(labels), torch.from_numpy(np.stack(mirrored))


def _begin(worker, pin, workers):
    """A worker process begins."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the training, which ends its workers
    if pin and hasattr(os, "sched_setaffinity"):
        cores = sorted(os.sched_getaffinity(0))
        place = int(os.environ.get("LOCAL_RANK", 0)) * workers + worker
        os.sched_setaffinity(0, {cores[place % len(cores)]})


def workers(batch_bytes, cores, free_bytes, side_by_side=1, compute=None):
    """How many processes read batches ahead: one per core, as long as their batches fill a quarter of the free memory.

    Of several runs ``side_by_side``, each has its share of both. ``compute.workers`` and ``compute.workers_gb`` (10^9
    bytes, for each run) take the place of the number of cores and of the memory, if given.

    Each holds the `PREFETCH` batches that it has read and the one that it is reading. 0 means that batches are read
    when they are asked for.

    >>> workers(batch_bytes=10**8, cores=128, free_bytes=24 * 10**9)
    20
    """
    wanted, limit = max(1, cores // side_by_side), free_bytes / side_by_side / 4
    if compute is not None:
        wanted = wanted if compute.workers is None else compute.workers
        limit = limit if compute.workers_gb is None else compute.workers_gb * 1e9
    return min(wanted, int(limit / ((PREFETCH + 1) * batch_bytes)))


def free_memory():
    """Bytes of memory that are free, or that the system would give up; no more than the container's limit."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        free = next(1024 * int(line.split()[1]) for line in lines if line.startswith("MemAvailable"))
    except (OSError, StopIteration):  # not Linux: all there is
        free = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    with suppress(OSError, ValueError):  # no control group, or one without a limit
        free = min(free, int(Path("/sys/fs/cgroup/memory.max").read_text()))
    return free


def decode_once(manifest, size, name, limit_gb):
    """Every frame of the manifest's videos as one memory-mapped uint8 array ``(frames, size, size, 3)``.

    The videos are decoded in parallel into a file of `aurl.project.paths.FRAMES`, which takes the place of earlier
    ones of the
    same ``name`` and ``size``, or the array is taken from there if it was made from the same videos. ``None`` if it
    would be larger than ``limit_gb`` (10^9 bytes). Raises VideoError for a video that cannot be decoded or that is no
    longer the one that the manifest lists, UserError if the file cannot be written.
    """
    shape = (int(manifest["frames"].sum()), size, size, 3)
    if np.prod(shape, dtype=float) > limit_gb * 1e9:
        return None
    videos = manifest[["digest", "first", "frames"]].values.tolist()
    key = cache.key_of(videos=videos, size=size, resize=int(RESIZE), decoder=av.__version__)
    # With the key in its name, a file never holds other frames than its note says, whoever writes at the same time.
    file = FRAMES / f"{name}-{size}-{key[:12]}.npy"
    try:
        with locked(file.parent):  # a run beside this one waits and takes the array over
            if not cache.holds(file, key):
                files = f"{name}-{size}-{'[0-9a-f]' * 12}.npy"
                for old in [*file.parent.glob(files), *file.parent.glob(f".{files}.*.part")]:  # which a kill left
                    cache.remove(old)
                with cache.filling(file, key):
                    _decode(manifest, shape, file)
            return np.load(file, mmap_mode="r")
    except OSError as error:
        raise UserError(
            f"the frame cache {file} cannot be written ({error.strerror}): "
            f"make {np.prod(shape) / 1e9:.1f} GB of room, or lower compute.cache_gb."
        ) from None


def _decode(manifest, shape, file):
    columns = (manifest[name] for name in ("path", "digest", "first", "frames"))
    calls = [(*row, count, shape[1]) for *row, count in zip(*columns, _file_frames(manifest), strict=True)]
    # Written rather than mapped: on a full disk a mapped file kills the process.
    with replacing(file) as part, part.open("wb") as cache:
        np.lib.format.write_array_header_2_0(cache, {"descr": "|u1", "fortran_order": False, "shape": shape})
        for frames in parallel(_read_segment, calls, "decoding", "video"):
            cache.write(frames.tobytes())


def _read_segment(path, digest, first, frames, file_frames, size):
    """(frames, size, size, 3): every frame of a segment."""
    check(path, digest)
    return read_clips(path, frames, 1, 1, size, first=first, total=frames, file_frames=file_frames)[0]


def _file_frames(rows):
    """How many frames the file of each row has, of which the row may be a segment; None where that is unknown."""
    return [round(seconds * fps) or None for seconds, fps in zip(rows["duration"], rows["fps"])]
