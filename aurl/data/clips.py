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
    """`Clips` of one split of one or several data sets in the manifest; `FixedFeatures` for sets of features.

    Videos that are squashed rather than cropped are decoded once, into a cache, unless it would exceed
    ``compute.cache_gb``. ``params`` has the sections ``clip`` and ``compute``. ``names`` is a data set or a list of
    them. ``count`` is the number of clips in each of the ``clip.segments``. Other arguments are as for `Clips`. Raises
    UserError if the manifest is missing or has no such videos.
    """
    manifest = read_manifest(names, split)
    if manifest["codec"].iloc[0] == CODEC:  # chapter 1 refuses mixed sets
        return FixedFeatures(manifest, classes, count * params.clip.segments, seed)
    cache = None
    if params.clip.crop == "squash":  # crops need larger pictures than the cache has
        name = f"{merged(manifest['set'].unique())}-{split}"
        cache = decode_once(manifest, params.clip.size, name, params.compute.cache_gb)
    return Clips(manifest, classes, params.clip, count * params.clip.segments, seed, cache)


class Clips(torch.utils.data.Dataset):
    """Item i is ``(clips, label, mirrored)`` of the manifest's row i: uint8 ``(clips, T, size, size, 3)``, an int, and
    bool ``(clips,)``, which clips are still to be mirrored left to right.

    Args:
        manifest: rows with the columns ``id``, ``class``, ``path``, ``first``, ``frames`` and ``digest`` of
            `aurl.data.manifest.COLUMNS`, and without a cache also ``fps`` and ``duration``. Rows of other classes are
            ignored.
        classes: class names; a label is an index into this list.
        clip: the ``clip`` section of ``params.yaml``.
        count: clips per video.
        seed: if given, clips begin at random in their segments, anew in every epoch; with ``clip.crop: crop`` they are
            also cut out at a random place, and half of them are to be mirrored.
        cache: every frame of the manifest's videos, as `decode_once` returns it.

    Raises VideoError for an item that cannot be read, or whose file no longer has the manifest's digest.
    """

    dim = None  # the width of features

    def __init__(self, manifest, classes, clip, count=1, seed=None, cache=None):
        places = {name: label for label, name in enumerate(classes)}
        ends = manifest["frames"].cumsum()
        rows = manifest.assign(start=ends - manifest["frames"], end=ends)[manifest["class"].isin(places)]
        self.ids, self.digests = list(rows["id"]), list(rows["digest"])
        self.paths = list(rows["path"])
        self.segments = list(zip(rows["first"], rows["frames"]))  # (first frame, frames) in the file
        self.labels = [places[name] for name in rows["class"]]
        self.spans = list(zip(rows["start"], rows["end"]))  # (first frame, end) in the cache
        self.clip, self.count, self.seed = clip, count, seed
        self.cache, self.threads = cache, 1  # threads that decode one file; they change no pixel
        if cache is None:
            self.file_frames = _file_frames(rows)
            codes, files = rows["path"].factorize()
            self.files = codes.tolist()
            # Modification times at which files had their digests. Worker processes share them, so a file is hashed
            # once, and again only after a change.
            self.checked = torch.full((len(files),), -1, dtype=torch.int64).share_memory_()

    def facts(self):
        """Everything that determines clips and labels, as JSON values."""
        segments = [[int(first), int(frames)] for first, frames in self.segments]
        sampling = {"clip": self.clip.model_dump(), "count": self.count, "seed": self.seed}
        return {"videos": self.digests, "segments": segments, "labels": self.labels} | sampling

    def __len__(self):
        return len(self.paths)

    def __getitem__(self, i):
        return self.item(0, i)

    def item(self, epoch, i):
        """Item ``i`` in an epoch; the seed, the epoch's number and ``i`` determine its random clips."""
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
        """The items of a batch, or the first error: torch would keep only its text."""
        try:
            return [self.item(*place) for place in places]
        except UserError as error:
            return type(error)(*error.args)  # a copy, because frames in the traceback keep the processes alive

    def batches(self, size, order=None, compute=None):
        """A DataLoader of uint8 ``(N, clips, T, size, size, 3)``, labels ``(N,)`` and ``mirrored`` ``(N, clips)``.

        By default all videos come once, in their order. ``order`` instead lists the pairs (epoch, i) of each batch, at
        most ``size``. One loader can thus serve many epochs, and its worker processes decode the next epoch while
        training is still on this one. Without a cache, the section ``compute`` sets the number of worker processes.
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
        """The state for another process: a cache in a file is sent as its path."""
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
    """Set up a worker process; with ``pin``, bind it to one core."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the training, which ends its workers
    if pin and hasattr(os, "sched_setaffinity"):
        cores = sorted(os.sched_getaffinity(0))
        place = int(os.environ.get("LOCAL_RANK", 0)) * workers + worker
        os.sched_setaffinity(0, {cores[place % len(cores)]})


def workers(batch_bytes, cores, free_bytes, side_by_side=1, compute=None):
    """The number of processes that read batches ahead: one per core, but at most a quarter of the free memory.

    A process holds `PREFETCH` batches and the one that it is reading. Runs ``side_by_side`` share cores and memory.
    ``compute.workers`` and ``compute.workers_gb`` (10^9 bytes for each run) override these limits. 0: batches are read
    on demand.

    >>> workers(batch_bytes=10**8, cores=128, free_bytes=24 * 10**9)
    20
    """
    wanted, limit = max(1, cores // side_by_side), free_bytes / side_by_side / 4
    if compute is not None:
        wanted = wanted if compute.workers is None else compute.workers
        limit = limit if compute.workers_gb is None else compute.workers_gb * 1e9
    return min(wanted, int(limit / ((PREFETCH + 1) * batch_bytes)))


def free_memory():
    """Bytes of available memory, at most the container's limit."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        free = next(1024 * int(line.split()[1]) for line in lines if line.startswith("MemAvailable"))
    except (OSError, StopIteration):  # not Linux: the machine's memory
        free = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    with suppress(OSError, ValueError):  # no control group, or one without a limit
        free = min(free, int(Path("/sys/fs/cgroup/memory.max").read_text()))
    return free


def decode_once(manifest, size, name, limit_gb):
    """Every frame of the manifest's videos as one memory-mapped uint8 array ``(frames, size, size, 3)``.

    The videos are decoded in parallel into a file of `aurl.project.paths.FRAMES`, which replaces earlier files of the
    same ``name`` and ``size``. A file of the same videos is used again. ``None`` if the array would be larger than
    ``limit_gb`` (10^9 bytes). Raises VideoError for a video that cannot be decoded or has changed since it was listed,
    and UserError if the file cannot be written.
    """
    shape = (int(manifest["frames"].sum()), size, size, 3)
    if np.prod(shape, dtype=float) > limit_gb * 1e9:
        return None
    videos = manifest[["digest", "first", "frames"]].values.tolist()
    key = cache.key_of(videos=videos, size=size, resize=int(RESIZE), decoder=av.__version__)
    # The key is in the file's name, so that a note never describes the frames of another run.
    file = FRAMES / f"{name}-{size}-{key[:12]}.npy"
    try:
        with locked(file.parent):  # a concurrent run waits and uses the same file
            if not cache.holds(file, key):
                files = f"{name}-{size}-{'[0-9a-f]' * 12}.npy"
                for old in [*file.parent.glob(files), *file.parent.glob(f".{files}.*.part")]:  # .part: left by a kill
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
    # Not written through a map, because a full disk would then kill the process.
    with replacing(file) as part, part.open("wb") as cache:
        np.lib.format.write_array_header_2_0(cache, {"descr": "|u1", "fortran_order": False, "shape": shape})
        for frames in parallel(_read_segment, calls, "decoding", "video"):
            cache.write(frames.tobytes())


def _read_segment(path, digest, first, frames, file_frames, size):
    """Every frame of a segment, (frames, size, size, 3)."""
    check(path, digest)
    return read_clips(path, frames, 1, 1, size, first=first, total=frames, file_frames=file_frames)[0]


def _file_frames(rows):
    """The number of frames in each row's file, which may have several segments; None where unknown."""
    return [round(seconds * fps) or None for seconds, fps in zip(rows["duration"], rows["fps"])]
