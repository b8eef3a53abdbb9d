"""Clips of the videos in a manifest, from files or from a cache that is decoded once."""

import hashlib
import json
import os
from pathlib import Path

import numpy as np
import torch

from aurl import UserError
from aurl.datasets import read_manifest
from aurl.files import write_bytes
from aurl.progress import parallel
from aurl.video.decoding import VideoError
from aurl.video.reading import clip_indices, read_clips, read_frames

FRAMES = Path("build/frames")


def open_set(params, names, split, classes, count=1, seed=None):
    """`Clips` of one split of one data set in the manifest, or of a list of them, decoded once if small enough and not cropped.

    ``params`` has the sections ``clip`` and ``compute``; the other arguments are those of `Clips`. Raises UserError
    if the manifest is missing or has no such videos.
    """
    manifest = read_manifest(names, split)
    file = FRAMES / f"{'+'.join(manifest['set'].unique())}-{split}.npy"
    whole = params.clip.crop == "squash"  # crops are cut out of larger pictures than those that are kept
    cache = decode_once(manifest, params.clip.size, file, params.compute.cache_gb) if whole else None
    return Clips(manifest, classes, params.clip, count, seed, cache)


class Clips(torch.utils.data.Dataset):
    """Item i is ``(clips, label)`` of the manifest's row i: uint8 ``(clips, T, size, size, 3)`` and an int.

    Args:
        manifest: rows with ``path``, ``class``, and ``first`` and ``frames``, the first frame and the number of
            frames that are the row's; rows of other classes are passed over.
        classes: class names; a label is a place in this list.
        clip: the ``clip`` section of ``params.yaml``.
        count: clips per video. One random start per video and epoch if ``seed`` is given.
        cache: every frame of the manifest's videos, as `decode_once` returns it.
    """

    def __init__(self, manifest, classes, clip, count=1, seed=None, cache=None):
        places = {name: label for label, name in enumerate(classes)}
        ends = manifest["frames"].cumsum()
        rows = manifest.assign(start=ends - manifest["frames"], end=ends)[manifest["class"].isin(places)]
        self.ids, self.digests = list(rows["id"]), list(rows["digest"])
        self.paths = list(rows["path"])
        self.segments = list(zip(rows["first"], rows["frames"]))  # of a video's frames in its file
        self.labels = [places[name] for name in rows["class"]]
        self.spans = list(zip(rows["start"], rows["end"]))  # of a video's frames in the cache
        self.clip, self.count, self.seed, self.epoch = clip, count, seed, 0
        self.cache = cache

    def facts(self):
        """All that decides the clips and labels that come, as JSON can hold it."""
        segments = [[int(first), int(frames)] for first, frames in self.segments]
        sampling = {"clip": self.clip.model_dump(), "count": self.count, "seed": self.seed}
        return {"videos": self.digests, "segments": segments, "labels": self.labels} | sampling

    def __len__(self):
        return len(self.paths)

    def __getitem__(self, i):
        rng = None if self.seed is None else np.random.default_rng([self.seed, self.epoch, i])
        if self.cache is None:
            first, total = self.segments[i]
            clips = read_clips(self.paths[i], self.clip.frames, self.clip.stride, self.count, self.clip.size, rng,
                               first=first, total=total, crop=self.clip.crop == "crop")  # fmt: skip
            return clips, self.labels[i]
        start, end = self.spans[i]
        chosen = clip_indices(end - start, self.clip.frames, self.clip.stride, self.count, rng)
        return self.cache[start + chosen], self.labels[i]

    def __getitems__(self, places):
        """The items of a batch; instead of them an error, of which torch brings only the text from a worker."""
        try:
            return [self[i] for i in places]
        except UserError as error:
            return error

    def batches(self, size, shuffle=None, limit=None):
        """A DataLoader of uint8 ``(N, clips, T, size, size, 3)`` and labels ``(N,)``.

        ``shuffle``, a torch.Generator, draws the order, of which only whole batches are given, ``limit`` at most.
        """
        sampler = None
        if shuffle is not None:
            steps = min(len(self) // size, limit or len(self))
            sampler = torch.utils.data.RandomSampler(self, num_samples=steps * size, generator=shuffle)
        workers = 0 if self.cache is not None else os.cpu_count()
        return _Loader(self, size, sampler=sampler, generator=shuffle, num_workers=workers, collate_fn=_collate)


class _Loader(torch.utils.data.DataLoader):
    def __iter__(self):
        for batch in super().__iter__():
            if isinstance(batch, UserError):
                raise batch
            yield batch


def _collate(items):
    if isinstance(items, UserError):
        return items
    clips, labels = zip(*items, strict=True)
    return torch.from_numpy(np.stack(clips)), torch.tensor(labels)


def decode_once(manifest, size, file, limit_gb):
    """Every frame of the manifest's videos as one memory-mapped uint8 array ``(frames, size, size, 3)``.

    Decoded in parallel into ``file``, or taken from there if the videos are the same; ``None`` if it would be
    larger than ``limit_gb`` (10^9 bytes). Raises VideoError for a video that cannot be decoded.
    """
    shape = (int(manifest["frames"].sum()), size, size, 3)
    if np.prod(shape, dtype=float) > limit_gb * 1e9:
        return None
    paths = [Path(path) for path in manifest["path"]]
    key, key_file = _fingerprint(paths, size, manifest), file.with_suffix(".json")
    if not (file.is_file() and key_file.is_file() and key_file.read_text() == key):
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            key_file.unlink(missing_ok=True)
            _decode(paths, manifest["first"], manifest["frames"], shape, file)
        except OSError as error:
            raise UserError(
                f"the frame cache {file} cannot be written ({error.strerror}): make {np.prod(shape) / 1e9:.1f} GB of room, or lower compute.cache_gb."
            ) from None
        write_bytes(key_file, key.encode())  # last, so that a cache without its key is one that was cut short
    return np.load(file, mmap_mode="r")


def _decode(paths, firsts, counts, shape, file):
    part = file.with_name(
        f".{file.name}.{os.getpid()}.part"
    )  # its own, as runs side by side may decode at the same time
    try:
        with part.open("wb") as cache:  # written rather than mapped: on a full disk a mapped file kills the process
            np.lib.format.write_array_header_2_0(cache, {"descr": "|u1", "fortran_order": False, "shape": shape})
            videos = parallel(read_frames, [(path, shape[1]) for path in paths], "decoding", "video")
            for path, first, count, frames in zip(paths, firsts, counts, videos, strict=True):
                if len(frames) < first + count:
                    raise VideoError(
                        path,
                        f"it has {len(frames)} frames where the manifest says {first + count}; prepare the data again",
                    )
                cache.write(frames[first : first + count].tobytes())
        os.replace(part, file)
    finally:
        part.unlink(missing_ok=True)


def _fingerprint(paths, size, manifest):
    digest = hashlib.sha256(manifest[["first", "frames"]].to_csv().encode())
    for path in paths:
        try:
            status = path.stat()
        except OSError as error:
            raise VideoError(path, f"{error.strerror}; prepare the data again") from None
        digest.update(f"{path} {status.st_size} {status.st_mtime_ns}\n".encode())
    return json.dumps({"videos": digest.hexdigest(), "size": size})
