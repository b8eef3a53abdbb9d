"""Precomputed features in memory, with the interface of `aurl.data.clips.Clips`."""

from pathlib import Path

import numpy as np
import torch

from aurl import UserError
from aurl.data.readers import features


class FixedFeatures:
    """The features of the manifest's videos; a video's S segments play the role of its clips.

    Args:
        manifest: rows as `aurl.data.readers.features.read` gives them. Rows of other classes are ignored.
        classes: class names; a label is an index into this list.
        count: segments per video. The S segments are split into ``count`` equal parts, and the first of each is used.
        seed: if given, a random segment of each part is used instead, drawn again in every epoch.

    Raises UserError for a video whose features no longer have the manifest's digest.
    """

    clip = None  # no frames are sampled

    def __init__(self, manifest, classes, count=1, seed=None):
        places = {name: label for label, name in enumerate(classes)}
        rows = manifest[manifest["class"].isin(places)]
        self.ids, self.digests, self.paths = list(rows["id"]), list(rows["digest"]), list(rows["path"])
        self.rows = rows["first"].to_numpy()  # indices in the file
        self.labels = [places[name] for name in rows["class"]]
        self.segments, self.dim = int(manifest["frames"].iloc[0]), int(manifest["width"].iloc[0])
        self.count, self.seed = count, seed
        self._drawn = None, None  # the last epoch and its segments
        self._load()

    def facts(self):
        """Everything that determines features and labels, as JSON values."""
        return {"videos": self.digests, "labels": self.labels, "count": self.count, "seed": self.seed}

    def __len__(self):
        return len(self.ids)

    def batches(self, size, order=None, compute=None):
        """Yields batches: float32 ``(N, count, F)``, labels ``(N,)`` and ``mirrored`` ``(N, count)``, all false.

        Arguments are as for `aurl.data.clips.Clips.batches`. No process reads ahead: a batch is one gather.
        """
        if order is None:
            starts = range(0, len(self), size)
            order = [[(0, i) for i in range(start, min(start + size, len(self)))] for start in starts]
        for places in order:
            chosen = torch.tensor([i for _, i in places])
            segments = self._segments(places[0][0])  # all are of one epoch
            values = self._values[chosen[:, None], segments if segments.ndim == 1 else segments[chosen]]
            yield values, self._labels[chosen], torch.zeros(values.shape[:2], dtype=torch.bool)

    def _segments(self, epoch):
        """The segments of an epoch: ``(count,)`` for all videos, or at random ``(videos, count)``."""
        bounds = np.arange(self.count + 1) * self.segments // self.count
        if self.seed is None:
            return torch.from_numpy(bounds[:-1])
        if self._drawn[0] != epoch:
            rng, after = np.random.default_rng([self.seed, epoch]), np.maximum(bounds[1:], bounds[:-1] + 1)
            self._drawn = epoch, torch.from_numpy(rng.integers(bounds[:-1], after, size=(len(self), self.count)))
        return self._drawn[1]

    def __getstate__(self):
        """The state for another process, which reads the features itself."""
        return {name: value for name, value in vars(self).items() if name not in ("_values", "_labels", "_drawn")}

    def __setstate__(self, state):
        vars(self).update(state, _drawn=(None, None))
        self._load()

    def _load(self):
        values = np.empty((len(self), self.segments, self.dim), np.float32)
        paths = np.array(self.paths, dtype=object)
        for path in dict.fromkeys(self.paths):
            here, stored = np.flatnonzero(paths == path), features.load(Path(path)).features
            if stored.shape[1:] != values.shape[1:] or self.rows[here].max() >= len(stored):
                raise _changed(f"{path} is not the file")
            values[here] = stored[self.rows[here]]
        for i, found in enumerate(features.digests(values)):
            if found != self.digests[i]:
                raise _changed(f"{self.paths[i]} does not have the features of {self.ids[i]}")
        self._values, self._labels = torch.from_numpy(values), torch.tensor(self.labels, dtype=torch.int64)


def _changed(reason):
    return UserError(f"{reason} that the manifest lists: prepare the data again, with `dvc repro -f 01_prepare_data`.")
