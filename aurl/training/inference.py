"""Features of clips and class names, and ranked labels from features."""

import numpy as np
import torch

from aurl.project.progress import bar
from aurl.training import devices, processes

# Mean and standard deviation of Kinetics' red, green and blue in [0, 1], as for torchvision's video models.
MEAN = (0.43216, 0.394666, 0.37645)
STD = (0.22803, 0.22145, 0.216989)
PAIRS = 2**24  # numbers at a time in `similarity`: D for each pair of a video and a class


def encode(model, clips, batch, compute, desc=None):
    """Unit-length float32 features (N, D) or (N, K, D) of all videos (`aurl.models.AURL.encode_video`), labels (N,).

    Processes that share the work (`aurl.training.processes`) encode a part each, and each returns all rows.

    Args:
        model: an `aurl.models.AURL`.
        clips: `aurl.data.clips.Clips`; rows keep their order.
        batch: videos at a time.
        compute: the ``compute`` section of ``params.yaml``.
        desc: the name of a progress bar; without it, none is drawn.
    """
    return _encode(model, model.encode_video, clips, batch, compute, desc)


def backbone_features(model, clips, batch, compute, desc=None):
    """The backbone's float32 features (N, K, F) of all clips, before pooling and projection; see `encode`."""

    def features(video):
        return model.backbone(video.flatten(0, 1)).float().unflatten(0, video.shape[:2])

    return _encode(model, features, clips, batch, compute, desc)[0]


@torch.no_grad()
def _encode(model, forward, clips, batch, compute, desc):
    arithmetic = devices.choose_arithmetic(model, clips.clip, batch, compute)
    model.eval().to(memory_format=arithmetic.memory_format)
    features, labels = [torch.empty(0)], [torch.empty(0, dtype=torch.int64)]  # a process may have no video
    mine = range(len(clips))[processes.own_rows(len(clips), processes.rank(), processes.count())]
    order = [[(0, i) for i in mine[start : start + batch]] for start in range(0, len(mine), batch)]
    batches = clips.batches(batch, order, compute)
    hidden = desc is None or processes.rank() > 0
    for video, label, mirrored in bar(batches, total=len(order), desc=desc, unit="batch", disable=hidden):
        with arithmetic.autocast():
            features.append(forward(to_device(video, mirrored, arithmetic)).cpu())
        labels.append(label)
    return processes.gather(torch.cat(features).numpy()), processes.gather(torch.cat(labels).numpy())


@torch.no_grad()
def encode_classes(model, word_vectors):
    """Unit-length float32 features (C, D) of classes with the word vectors (C, W)."""
    word_vectors = torch.as_tensor(word_vectors, dtype=torch.float32).to(next(model.parameters()).device)
    return model.eval().encode_class(word_vectors).cpu().numpy()


def similarity(video, classes, relation=None):
    """Scores (N, C) in [-1, 1] of every video and class: the cosine of unit features (N, D) and (C, D).

    With a ``relation`` (`aurl.rivals.Relation`), its scores of features (N, K, D) and (C, D).
    """
    if relation is None:
        return video @ classes.T
    device = next(relation.parameters()).device
    size = max(1, PAIRS // classes.size)  # videos at a time
    with torch.no_grad():
        named = torch.as_tensor(classes, device=device)
        starts = range(0, len(video), size)
        parts = [relation(torch.as_tensor(video[at : at + size], device=device), named).cpu() for at in starts]
    return torch.cat(parts).numpy()


def mean_over_segments(video):
    """One feature per video, (N, D), from features (N, D) or (N, K, D)."""
    return video if video.ndim == 2 else video.mean(axis=1)


def rank(scores, names, k=5):
    """The ``k`` best of C class names for every video, best first, or all names if C < k.

    ``scores`` (N, C) come from `similarity`. Returns names (N, k) and their scores (N, k). Equal scores keep the order
    of ``names``.

    >>> labels, scores = rank(np.array([[0.6, 1.0], [0.8, 0.0]]), ["run", "walk"])
    >>> labels.tolist(), scores.tolist()
    ([['walk', 'run'], ['run', 'walk']], [[1.0, 0.6], [0.8, 0.0]])
    """
    order = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    return np.array(names)[order], np.take_along_axis(scores, order, axis=1)


def to_device(video, mirrored, arithmetic):
    """uint8 ``(N, K, T, H, W, 3)`` -> normalized floats ``(N, K, 3, T, H, W)`` on the device, in its memory layout.

    Bytes are copied to the device and converted there, where clips with ``mirrored`` (N, K) True are flipped left to
    right. Features ``(N, K, F)`` are only copied.
    """
    # Only CUDA has pinned bytes. Elsewhere (mps) an asynchronous copy may read memory that was freed.
    device, pinned = arithmetic.device, arithmetic.device.type == "cuda"
    if video.ndim == 3:
        return video.to(device, non_blocking=pinned)
    flat, mirrored = (values.flatten(0, 1).to(device, non_blocking=pinned) for values in (video, mirrored))
    if mirrored.any():
        flat = torch.where(mirrored[:, None, None, None, None], flat.flip(-2), flat)
    return to_input(flat).contiguous(memory_format=arithmetic.memory_format).unflatten(0, video.shape[:2])


def to_input(clips):
    """(..., T, H, W, 3) uint8 RGB -> (..., 3, T, H, W) float32: (clips / 255 - `MEAN`) / `STD`, contiguous.

    The result is on the device of ``clips``, which does not change.
    """
    clips = torch.as_tensor(clips)
    mean, std = (torch.tensor(v, device=clips.device)[:, None, None, None] for v in (MEAN, STD))
    floats = clips.movedim(-1, -4).to(torch.float32, memory_format=torch.contiguous_format, copy=True)
    return floats.mul_(1 / (255 * std)).sub_(mean / std)  # in place: two passes and no second array
