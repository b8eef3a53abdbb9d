"""Clips of the videos in a manifest, from files or from a cache that is decoded once."""
import hashlib
import json
import os
from pathlib import Path

import joblib
import numpy as np
import torch

from aurl import UserError
from aurl.progress import bar
from aurl.video import VideoError, clip_indices, read_clips, read_frames


class Clips(torch.utils.data.Dataset):
    """Item i is ``(clips, label)`` of the manifest's row i: uint8 ``(clips, T, size, size, 3)`` and an int.

    Args:
        manifest: rows with ``path`` and ``class``; ``frames`` too if there is a cache.
        root: the folder that the paths are relative to.
        classes: class names; a label is a place in this list.
        clip: the ``clip`` section of ``params.yaml``.
        count: clips per video. One random start per video and epoch if ``seed`` is given.
        cache: every frame of the manifest's videos, as `decode_once` returns it.
    """

    def __init__(self, manifest, root, classes, clip, count=1, seed=None, cache=None):
        places = {name: label for label, name in enumerate(classes)}
        self.paths = [str(Path(root, path)) for path in manifest["path"]]
        self.labels = [places[name] for name in manifest["class"]]
        self.clip, self.count, self.seed, self.epoch = clip, count, seed, 0
        self.cache = cache
        self.ends = np.cumsum(manifest["frames"]) if cache is not None else None

    def __len__(self):
        return len(self.paths)

    def __getitem__(self, i):
        rng = None if self.seed is None else np.random.default_rng([self.seed, self.epoch, i])
        if self.cache is None:
            return read_clips(self.paths[i], self.clip.frames, self.clip.stride, self.count, self.clip.size, rng), self.labels[i]
        start = self.ends[i - 1] if i else 0
        chosen = clip_indices(self.ends[i] - start, self.clip.frames, self.clip.stride, self.count, rng)
        return self.cache[start + chosen], self.labels[i]

    def batches(self, size, shuffle=None, drop_last=False):
        """A DataLoader of uint8 ``(N, clips, T, size, size, 3)`` and labels ``(N,)``; ``shuffle`` is a torch.Generator."""
        workers = 0 if self.cache is not None else os.cpu_count()
        return torch.utils.data.DataLoader(
            self, size, shuffle=shuffle is not None, generator=shuffle, drop_last=drop_last, num_workers=workers, collate_fn=_collate
        )


def _collate(items):
    clips, labels = zip(*items, strict=True)
    return torch.from_numpy(np.stack(clips)), torch.tensor(labels)


def decode_once(manifest, root, size, file, limit_gb):
    """Every frame of the manifest's videos as one memory-mapped uint8 array ``(frames, size, size, 3)``.

    Decoded in parallel into ``file``, or taken from there if the videos are the same; ``None`` if it would be
    larger than ``limit_gb`` (10^9 bytes). Raises VideoError for a video that cannot be decoded.
    """
    shape = (int(manifest["frames"].sum()), size, size, 3)
    if np.prod(shape, dtype=float) > limit_gb * 1e9:
        return None
    paths = [Path(root, path) for path in manifest["path"]]
    key, key_file = _fingerprint(paths, size), Path(file).with_suffix(".json")
    if not (Path(file).is_file() and key_file.is_file() and json.loads(key_file.read_text()) == key):
        Path(file).parent.mkdir(parents=True, exist_ok=True)
        key_file.unlink(missing_ok=True)
        try:
            _decode(paths, manifest["frames"], shape, Path(file))
        except OSError as error:
            raise UserError(f"the frame cache {file} cannot be written ({error.strerror}): make {np.prod(shape) / 1e9:.1f} GB of room, or lower train.cache_gb.") from None
        key_file.write_text(json.dumps(key))  # last, so that a cache without its key is one that was cut short
    return np.load(file, mmap_mode="r")


def _decode(paths, counts, shape, file):
    part = file.with_name(f".{file.name}.part")
    cache = np.lib.format.open_memmap(part, "w+", np.uint8, shape)
    videos = joblib.Parallel(n_jobs=-1, return_as="generator")(joblib.delayed(read_frames)(path, shape[1]) for path in paths)
    start = 0
    for path, count, frames in bar(zip(paths, counts, videos), total=len(paths), desc="decoding", unit="video"):
        if len(frames) != count:
            raise VideoError(path, f"it has {len(frames)} frames where the manifest says {count}; prepare the data again")
        cache[start : start + count] = frames
        start += count
    cache.flush()
    os.replace(part, file)


def _fingerprint(paths, size):
    digest = hashlib.sha256()
    for path in paths:
        try:
            status = path.stat()
        except OSError as error:
            raise VideoError(path, f"{error.strerror}; prepare the data again") from None
        digest.update(f"{path} {status.st_size} {status.st_mtime_ns}\n".encode())
    return {"videos": digest.hexdigest(), "size": size}
