"""Encode the videos of a data set by any encoder into a file for the reader ``features``.

Videos are encoded in parts of `PART`, and the cache keeps each part, so an interrupted run continues, even with another
number of processes. The file has the arrays of `aurl.data.readers.features` and these:

``encoder``      the encoder's name, weights and clips, as text
``pretraining``  the names of the data sets that the encoder was trained on; see `aurl.data.pretraining`
``digest``       a digest of the encoder's weights, its clips, and every video and label
"""

import shutil
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np
import torch

from aurl import UserError
from aurl.data.clips import Clips
from aurl.project import cache, config, paths
from aurl.project.files import locked, npz, write_bytes
from aurl.project.progress import bar
from aurl.training import devices, processes
from aurl.training.encoders import VideoEncoder, open_encoder

PART = 128  # videos
UNRELATED = (*cache.NAMES_GIVEN, "aurl.training.checkpoints")  # code that changes no feature


class SpreadClips(Clips):
    """`Clips` whose T frames are spread over their segment of L frames: the stride is L // T, at least 1."""

    def item(self, epoch, i):
        stride = max(1, self.segments[i][1] // (self.count * self.clip.frames))
        self.clip = self.clip.model_copy(update={"stride": stride})
        return super().item(epoch, i)


def _version(package):
    """The version of a package, None if it is not installed."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def extract(rows, name, weights, path, settings, pretraining, desc):
    """Encode the videos of ``rows`` into the file ``path``, unless it is up to date. Returns whether it was written.

    Raises UserError as `open_encoder` does, for a video that cannot be read, for a vector that is not finite, and for
    an accelerator with too little memory.

    Args:
        rows: the table of `aurl.data.prepare.usable_videos`.
        name: with ``weights``, the arguments of `aurl.training.encoders.open_encoder`.
        path: the ``.npz`` file, with features (N, F), or (N, S, F) of several segments.
        settings: a dict: ``segments`` (S), ``batch`` (clips at a time), ``dtype`` ("float16" or "float32"),
            ``processes``, ``compute`` (the section of ``params.yaml``), and ``frames``, ``stride`` (or "spread"),
            ``size`` and ``crop`` of a clip; None means the encoder's own value.
        pretraining: names of the data sets that the encoder was trained on.
        desc: the name of the progress bar and of the run in messages.
    """
    encoder = open_encoder(name, weights)
    clip, spread = _clip(encoder, settings)
    about = {
        "encoder": encoder.digest,
        "clips": clip.model_dump() | {"spread": spread, "segments": settings["segments"]},
        "videos": rows[["digest", "first", "frames"]].to_numpy().tolist(),
        "versions": {package: _version(package) for package in ("av", "numpy", "torch", "torchvision", "transformers")},
        "code": cache.code_digest("aurl.data.video.reading", "aurl.training.encoders", skip=UNRELATED),
        "device": devices.best_device().type,
    }
    key = cache.key_of(**about)
    arrays = {
        "labels": rows["class"].to_numpy(str),
        "ids": rows["id"].to_numpy(str),
        "split": rows["split"].to_numpy(str),
        "encoder": _described(encoder, weights, clip, spread, settings["segments"]),
        "pretraining": np.array(pretraining, str),
    }
    lists = {array: np.array(own).tolist() for array, own in arrays.items()}
    digest = cache.key_of(features=key, dtype=settings["dtype"], **lists)
    if _digest_of(path) == digest:
        return False
    folder = paths.ENCODED / f"{Path(path).stem}-{key[:12]}"
    rest = rows, clip, spread, settings, folder, key, desc
    with locked(folder, f"another process is computing the features of {desc}: wait until it ends."):
        if settings["processes"] == 1:
            _encode_parts(encoder, *rest)
        else:
            processes.run_in_processes(
                _open_and_encode_parts, name, weights, *rest, processes=settings["processes"], name=desc
            )
        parts = [np.load(folder / _part(start))["features"] for start in range(0, len(rows), PART)]
        features = np.concatenate(parts)
        features = features[:, 0] if settings["segments"] == 1 else features
        with np.errstate(over="ignore"):
            features = features.astype(settings["dtype"])
        _check_finite(features, rows["id"].tolist(), name)
        write_bytes(path, npz({"features": features} | arrays | {"digest": digest}))
        shutil.rmtree(folder)
    return True


def _clip(encoder: VideoEncoder, settings):
    """The section ``clip`` for the encoder, and whether clips are spread over their segments."""
    own = {"frames": encoder.frames, "stride": encoder.stride, "size": encoder.size, "crop": "crop"}
    own |= {key: settings[key] for key in own if settings[key] is not None}
    if own["size"] < 16:
        raise UserError(f"clips of {own['size']} pixels are too small: set --size to 16 or more.")
    spread = own["stride"] in (None, "spread")
    return config.Clip(**own | {"stride": 1 if spread else own["stride"], "segments": 1}), spread


def _described(encoder, weights, clip, spread, segments):
    stride = "spread" if spread else f"stride {clip.stride}"
    clips = f"{segments} x {clip.frames} frames, {stride}, {clip.size} pixels, {clip.crop}"
    return " ".join(filter(None, [encoder.name, weights, f"({clips})"]))


def _digest_of(path):
    """The digest in a file of features, or None."""
    try:
        with np.load(path, allow_pickle=False) as arrays:
            return str(arrays["digest"])
    except Exception:  # missing, cut short, or of another kind: it is made again
        return None


def _open_and_encode_parts(name, weights, *rest):
    _encode_parts(open_encoder(name, weights), *rest)


@devices.explain_out_of_memory("--batch")
@torch.no_grad()
def _encode_parts(encoder, rows, clip, spread, settings, folder, key, desc):
    """Write the missing parts; the processes share them."""
    devices.limit_threads(settings["compute"])
    device = devices.best_device()
    if encoder.network is not None:
        encoder.network.to(device)
    missing = [start for start in range(0, len(rows), PART) if not cache.holds(folder / _part(start), key)]
    processes.gather(np.zeros(1))  # no process writes before all have looked
    mine = missing[processes.own_rows(len(missing), processes.rank(), processes.count())]
    classes = sorted(rows["class"].unique())
    clips = (SpreadClips if spread else Clips)(rows, classes, clip, settings["segments"])
    batch = max(1, settings["batch"] // settings["segments"])
    plan = [
        range(at, min(at + batch, start + PART, len(rows)))
        for start in mine
        for at in range(start, min(start + PART, len(rows)), batch)
    ]
    batches = clips.batches(batch, [[(0, i) for i in places] for places in plan], settings["compute"])
    vectors = []
    with bar(total=sum(map(len, plan)), desc=desc, unit="video", disable=processes.rank() > 0) as progress:
        for places, (video, _, _) in zip(plan, batches):
            found = _encode(encoder, video.flatten(0, 1).to(device))
            vectors.append(found.cpu().unflatten(0, video.shape[:2]).numpy())
            progress.update(len(places))
            start = places[0] // PART * PART
            if places[-1] + 1 in (start + PART, len(rows)):
                part, vectors = np.concatenate(vectors), []
                _check_finite(part, rows["id"].tolist()[start:], encoder.name)
                file = folder / _part(start)
                with cache.filling(file, key):
                    write_bytes(file, npz({"features": part}))
    processes.gather(np.zeros(1))  # all parts are there


def _encode(encoder, clips):
    try:
        return encoder.encode(clips)
    except torch.OutOfMemoryError:
        raise
    except (RuntimeError, ValueError) as error:  # networks for one clip length or size refuse others in many ways
        frames, size = clips.shape[1:3]
        raise UserError(
            f"{encoder.name} takes no clips of {frames} frames of {size} x {size} pixels "
            f"({(str(error).splitlines() or [''])[0]}): leave out --frames and --size."
        ) from error


def _part(start):
    return f"{start:08d}.npz"


def _check_finite(features, ids, name):
    finite = np.isfinite(features.reshape(len(features), -1)).all(axis=1)
    if not finite.all():
        raise UserError(
            f"{name} gives numbers that {features.dtype} cannot hold, for the video {ids[int(np.argmin(finite))]}: "
            "correct the weights, or take --dtype float32."
        )
