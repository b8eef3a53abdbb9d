"""From clips and class names to features, and from features to ranked labels."""

import numpy as np
import torch

from aurl.project.progress import bar
from aurl.training import devices, processes

# Kinetics' mean and standard deviation of red, green and blue in [0, 1] (torchvision's video models).
MEAN = (0.43216, 0.394666, 0.37645)
STD = (0.22803, 0.22145, 0.216989)
PAIRS = 2**24  # numbers at a time in `similarity`, of which every pair of a video and a class has D


@devices.fits("evaluate.batch")
@torch.no_grad()
def encode(model, clips, batch, compute, desc=None):
    """Features float32 of unit length, (N, D) or (N, K, D) (`aurl.models.AURL.encode_video`), and labels (N,) of all
    clips, in their order.

    ``clips`` are `aurl.data.clips.Clips`, encoded ``batch`` videos at a time; ``compute`` is that section of
    ``params.yaml``. Processes that share the work (`aurl.training.processes`) encode a part each, and all get the
    whole. With
    ``desc`` a progress bar of that name is drawn. Raises UserError where an accelerator has too little memory.
    """
    arithmetic = devices.settle(model, clips.clip, batch, compute)
    model.eval().to(memory_format=arithmetic.memory_format)
    features, labels = [torch.empty(0)], [torch.empty(0, dtype=torch.int64)]  # a process may have no video
    mine = range(len(clips))[processes.share(len(clips), processes.rank(), processes.count())]
    order = [[(0, i) for i in mine[start : start + batch]] for start in range(0, len(mine), batch)]
    batches = clips.batches(batch, order, compute)
    for video, label, mirrored in bar(batches, desc=desc, unit="batch", disable=desc is None or processes.rank() > 0):
        with arithmetic.autocast():
            features.append(model.encode_video(to_device(video, mirrored, arithmetic)).cpu())
        labels.append(label)
    return processes.gathered(torch.cat(features).numpy()), processes.gathered(torch.cat(labels).numpy())


@torch.no_grad()
def encode_classes(model, word_vectors):
    """Features (C, D) float32 of unit length of classes with the word vectors (C, W)."""
    word_vectors = torch.as_tensor(word_vectors, dtype=torch.float32).to(next(model.parameters()).device)
    return model.eval().encode_class(word_vectors).cpu().numpy()


def similarity(video, classes, relation=None):
    """How well every video fits every class, in [-1, 1], (N, C): the cosine of features (N, D) and (C, D).

    With a ``relation`` (`aurl.models.Relation`), it is what that makes of features (N, K, D) and (C, D).
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


def whole(video):
    """One direction for each video, (N, D): features (N, D), or the means of (N, K, D)."""
    return video if video.ndim == 2 else video.mean(axis=1)


def rank(scores, names, k=5):
    """The ``k`` best of C class names for every video, best first, or all of them if there are fewer.

    ``scores`` (N, C) are those of `similarity`. Returns labels (N, k), an array of names, and their scores (N, k).
    Equal scores keep the order of ``names``.

    >>> labels, scores = rank(np.array([[0.6, 1.0], [0.8, 0.0]]), ["run", "walk"])
    >>> labels.tolist(), scores.tolist()
    ([['walk', 'run'], ['run', 'walk']], [[1.0, 0.6], [0.8, 0.0]])
    """
    order = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    return np.array(names)[order], np.take_along_axis(scores, order, axis=1)


def to_device(video, mirrored, arithmetic):
    """uint8 ``(N, K, T, H, W, 3)`` -> normalized floats ``(N, K, 3, T, H, W)`` on the device, in its memory layout.

    Bytes travel to the device. There, clips for which the bool ``mirrored`` (N, K) holds are mirrored left to right.
    Features ``(N, K, F)`` stay as they are.
    """
    # Bytes are pinned for CUDA alone. Elsewhere (mps) a copy that is not waited for may read memory that was freed.
    device, beside = arithmetic.device, arithmetic.device.type == "cuda"
    if video.ndim == 3:
        return video.to(device, non_blocking=beside)
    flat, mirrored = (values.flatten(0, 1).to(device, non_blocking=beside) for values in (video, mirrored))
    if mirrored.any():
        flat = torch.where(mirrored[:, None, None, None, None], flat.flip(-2), flat)
    return to_input(flat).contiguous(memory_format=arithmetic.memory_format).unflatten(0, video.shape[:2])


def to_input(clips: np.ndarray | torch.Tensor, mean: tuple = MEAN, std: tuple = STD) -> torch.Tensor:
    """(..., T, H, W, 3) uint8 RGB -> (..., 3, T, H, W) float32: (clips / 255 - mean) / std, contiguous.

    On the device of ``clips``, which is left as it is.
    """
    clips = torch.as_tensor(clips)
    mean, std = (torch.tensor(v, device=clips.device)[:, None, None, None] for v in (mean, std))
    floats = clips.movedim(-1, -4).to(torch.float32, memory_format=torch.contiguous_format, copy=True)
    return floats.mul_(1 / (255 * std)).sub_(mean / std)  # in place: two passes and no second array
