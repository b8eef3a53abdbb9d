"""Train AURL or a baseline: one readable loop, a checkpoint, and a history of every epoch.

The loop is `_train`, a step `Run.take`. What is learned is the same whatever the number of processes that share a
batch, but for the last digits; only of the backbones mvit and swin3d, which skip blocks at random, others are skipped
then. All random numbers come from the seed and the number of the step or epoch, so that the state of a training is its
weights, its optimizer and how far it is.
"""

import contextlib
import hashlib
import math
import os
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch.optim.lr_scheduler import LambdaLR
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

import aurl.losses
import aurl.models
from aurl import UserError, backbones, metrics
from aurl.generator import ClassGenerator
from aurl.project import code
from aurl.project.files import key_of, write_bytes
from aurl.project.progress import bar
from aurl.training import checkpoints, devices, processes
from aurl.training.curves import Watch
from aurl.training.inference import encode, encode_classes, similarity, to_device, whole

SECTIONS = ("model", "loss", "generator", "train")  # that decide what is trained, all but these parameters:
NEUTRAL = {"processes", "nodes", "rendezvous", "save_minutes", "save_steps", "log_every", "tensorboard"}
# Code that no weight depends on: a change in it repeats no training.
HARMLESS = (
    "aurl",
    "aurl.project.code",
    "aurl.project.config",
    "aurl.project.files",
    "aurl.project.paths",
    "aurl.project.progress",
    "aurl.training.curves",
)


def train(params, clips, val, names, word_vectors, folder, scratch, start=None, live=None, vocabulary=None):
    """Train one variant and return its history, one row per epoch.

    The checkpoint kept is the one with the best top-1 on ``val``, the held-back videos of the *training* classes (the
    first of equals); no test class is seen here. A killed run goes on from its last state and ends with the same bytes.
    A training that was finished before, with the same code, parameters, videos, word vectors and seed, is not repeated:
    its checkpoint and history are taken over. Several ``train.processes`` are started here, unless ``torchrun`` has
    done so.

    Args:
        params: sections ``model, loss, generator, train, compute``, and ``variant`` and ``seed``.
        clips: training `aurl.data.clips.Clips`, whose labels are places in ``names``.
        val: validation `aurl.data.clips.Clips`.
        names: C class names.
        word_vectors: (C, W) word vectors of the classes.
        folder: where ``model.safetensors`` and ``model.json`` go.
        scratch: where the states of unfinished trainings are kept, and the results of finished ones.
        start: a folder that `aurl.training.checkpoints.save` wrote, whose video backbone the run begins with instead
        of random
            weights or those of ``model.weights``.
        live: a folder for curves that can be watched meanwhile (`aurl.training.curves`).
        vocabulary: V words and their vectors (V, W), which ``model.projection: attributes`` needs.

    Raises UserError for a batch larger than the training set, a loss that is not finite, another training in the same
    folder, a process that dies again and again, and an interruption.
    """
    return processes.together(
        _train, params, clips, val, names, word_vectors, folder, scratch, start, live, vocabulary,
        processes=params.train.processes, nodes=params.train.nodes, rendezvous=params.train.rendezvous,
        folder=scratch, name=f"training of {params.variant} seed {params.seed}",
    )  # fmt: skip


@devices.fits("train.micro_batch")
def _train(params, clips, val, names, word_vectors, folder, scratch, start, live, vocabulary):
    run = Run(params, clips, names, word_vectors, start, vocabulary)
    key = _key(run, clips, val, names)
    first = processes.rank() == 0  # the process that writes
    progress = checkpoints.Progress(Path(scratch, f"{params.variant}-{params.seed}"), key, params.train, first)
    with progress.alone(run.name, folder), checkpoints.Interruption() as interruption:
        processes.gathered(np.array([run.step]))  # all wait for the folder with the process that writes
        if (history := progress.finished(folder)) is not None:
            return pd.DataFrame(history)
        run.restore(progress.state())
        if len(set(processes.gathered(np.array([run.step])))) > 1:
            raise RuntimeError("the processes do not see the same states: all machines must share the project's folder")
        progress.keep(run.step, run.state())  # a folder that cannot be written shows itself before hours are spent
        order = Order(len(clips), params.train, params.seed, run.step)
        batches = clips.batches(order.rows.stop - order.rows.start, order, params.compute)
        drawn = bar(batches, desc=run.name, unit="step", total=order.total, initial=run.step, disable=not first)
        with drawn, Watch(live if first else None, run.step, params.train.tensorboard) as watch:
            for batch in drawn:
                means, stop = run.take(batch, order, interruption.asked)
                if not math.isfinite(means["total"] + means["grad_norm"]):
                    raise _not_finite(run, [clips.ids[i] for _, i in order.places(run.step)], progress)
                run.count(means)
                drawn.set_postfix_str(f"epoch {run.epoch}/{params.train.epochs}, loss {means['total']:.2f}", False)
                if run.step % params.train.log_every == 0:
                    if rate := drawn.format_dict["rate"]:  # steps in a second, once it is known
                        means["clips_per_second"] = params.train.batch * rate
                    watch.log(run.step, {f"train/{name}": mean for name, mean in means.items()})
                if ends := run.step % order.steps == 0:
                    found = validate(run.judged, val, run.word_vectors, params)
                    run.close_epoch(found)
                    watch.log(run.step, {name.replace("_", "/", 1): value for name, value in found.items()})
                stop = stop and run.step < order.total
                if ends or stop or progress.due(run.step):
                    progress.keep(run.step, run.state(), needed=stop)
                if stop:
                    at = f"after step {run.step} of {order.total}"
                    raise UserError(f"{run.name} was interrupted {at} and saved: the same command goes on from there.")
        if first:
            facts = {"epoch": run.best["epoch"], "val_top1": run.best["val_top1"], "arithmetic": run.facts()}
            facts |= {"vocabulary": list(run.vocabulary)} if run.vocabulary else {}
            facts |= {"features": run.dim} if run.dim else {}
            if clips.clip:
                facts["clip"] = (
                    clips.clip.model_dump()
                )  # so that the checkpoint alone names videos (aurl.classify.classifier)
            checkpoints.save(folder, run.best["weights"], params.model, names, run.word_vectors.shape[1], **facts)
            progress.finish(folder, run.history)
    return pd.DataFrame(run.history)


class Run:
    """A training: its model, its optimizer and how far it is. `state` is all that its steps change."""

    def __init__(self, params, clips, names, word_vectors, start=None, vocabulary=None):
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # without it CUDA refuses to be deterministic
        torch.manual_seed(params.seed)
        self.params, self.name = params, f"training of {params.variant} seed {params.seed}"
        device = devices.best_device()
        self.word_vectors = torch.as_tensor(word_vectors, dtype=torch.float32, device=device)
        self.dim = clips.dim
        attributes = params.model.projection == "attributes"
        self.vocabulary, vectors = vocabulary if attributes and vocabulary else ([], None)
        sizes = len(names), self.word_vectors.shape[1], len(self.vocabulary), self.dim
        model = aurl.models.build(params.model, *sizes).to(device)
        if vectors is not None:
            model.projection.vectors.copy_(torch.as_tensor(vectors))
        # What cannot be deterministic still trains, and PyTorch then warns. What can be on Apple's GPU was not tried.
        always = backbones.is_deterministic(model.backbone) and device.type != "mps"
        torch.use_deterministic_algorithms(True, warn_only=not always)
        if start is not None:
            model.backbone.load_state_dict(checkpoints.load(start)[0].backbone.state_dict())
        elif params.model.weights is not None:
            checkpoints.load_backbone(model.backbone, params.model.weights)
        self.arithmetic = devices.settle(
            model, clips.clip, params.train.micro_batch or params.train.batch, params.compute
        )
        self.model = model.to(memory_format=self.arithmetic.memory_format)
        self.rivals = _rivals(clips, len(names), device) if params.loss.sources == "apart" else None
        self.objective = processes.watched(Objective(model, params, self.rivals))
        if self.arithmetic.compiled:
            model.backbone.compile()
        self.steps = Order(len(clips), params.train, params.seed).steps
        self.optimizer = _optimizer(params.train, model)
        self.schedule = LambdaLR(self.optimizer, lambda step: _share_of_peak(step / self.steps, params.train))
        ema = params.train.ema
        self.average = ema and AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(ema), use_buffers=True)
        self.step, self.sums, self.history, self.best = 0, {}, [], None

    @property
    def epoch(self):
        """The epoch, from 1 on, that the last step was in."""
        return max(0, self.step - 1) // self.steps + 1

    @property
    def judged(self):
        """The model that is validated and kept."""
        return self.average.module if self.average else self.model

    def facts(self):
        """What decides the last digits, as JSON can hold it."""
        return self.arithmetic.facts() | {"processes": processes.count()}

    def take(self, batch, order, stop=False):
        """One step of the optimizer, on this process's part of a batch: video (N, K, T, H, W, 3) uint8 or (N, K, F),
        labels (N,) and mirrored (N, K).

        Returns the means over the whole batch of the loss's terms, the norm of the gradient and the learning rate, and
        whether any process was asked to ``stop``. Weights stay as they are if the loss or the gradient is not finite.
        """
        train, seed, model = self.params.train, self.params.seed, self.model
        model.train()
        clips = batch[0].shape[1]  # of a video
        model.dropout.whole, model.dropout.first = train.batch * clips, order.rows.start * clips
        self.optimizer.zero_grad()
        sums = {}
        parts = list(zip(*(values.tensor_split(train.parts) for values in batch), strict=True))
        for number, (video, labels, mirrored) in enumerate(parts, start=1):
            torch.manual_seed(_draw(seed, self.step, "dropout"))  # the same numbers for all parts of a batch
            rng = torch.Generator().manual_seed(_draw(seed, self.step, "generator"))
            with self._exchange(number == len(parts)):
                with self.arithmetic.autocast():
                    inputs = to_device(video, mirrored, self.arithmetic)  # (n, K, 3, T, H, W)
                    total, terms = self.objective(inputs, labels.to(inputs.device), self.word_vectors, rng)
                weight = len(labels) / train.batch
                (total * weight * processes.count()).backward()  # processes then average their gradients
            for name, term in terms.items():
                sums[name] = sums.get(name, 0) + weight * term
            model.dropout.first += len(labels) * clips
        names, found = [*sums, "stop"], [*sums.values(), sums["total"].new_tensor(float(stop))]
        means = dict(zip(names, processes.summed(torch.stack(found)).tolist(), strict=True))
        stop = means.pop("stop") > 0
        gradients = [weight.grad for weight in model.parameters() if weight.grad is not None]
        means["grad_norm"] = torch.nn.utils.get_total_norm(gradients).item()
        means["lr"] = self.schedule.get_last_lr()[0]
        if math.isfinite(means["total"] + means["grad_norm"]):
            self.optimizer.step()
            self.schedule.step()
            if self.average:
                self.average.update_parameters(model)
        return means, stop

    def _exchange(self, now):
        """Processes exchange their gradients with the last part of a batch only."""
        return contextlib.nullcontext() if now or processes.count() == 1 else self.objective.no_sync()

    def count(self, means):
        """Count a step that `take` has taken."""
        self.step += 1
        for name, mean in means.items():
            self.sums[name] = self.sums.get(name, 0) + mean

    def close_epoch(self, found):
        """Add an epoch to the history: means over its steps, and what was ``found`` on validation videos."""
        means = {name: total / self.steps for name, total in self.sums.items()}
        means["lr"], self.sums = self.schedule.get_last_lr()[0], {}
        self.history.append({"epoch": self.epoch} | means | found)
        if self.best is None or found["val_top1"] > self.best["val_top1"]:
            weights = checkpoints.copy_of(self.judged)
            self.best = {"val_top1": found["val_top1"], "epoch": self.epoch, "weights": weights}

    def state(self):
        """All that steps change, as `torch.save` can hold it."""
        parts = {name: getattr(self, name).state_dict() for name in ("model", "optimizer", "schedule")}
        average = self.average.state_dict() if self.average else None
        counts = {name: getattr(self, name) for name in ("step", "sums", "history", "best")}
        return parts | {"average": average} | counts

    def restore(self, state):
        """Go on from what `state` returned, or from the beginning if ``None``."""
        if state is None:
            return
        for name in ("model", "optimizer", "schedule"):
            getattr(self, name).load_state_dict(state[name])
        if self.average:
            self.average.load_state_dict(state["average"])
        for name in ("step", "sums", "history", "best"):
            setattr(self, name, state[name])


class Objective(torch.nn.Module):
    """The loss of a ``model``, an `aurl.models.AURL`, as one module: DistributedDataParallel sees what it uses."""

    def __init__(self, model, params, rivals=None):
        super().__init__()
        self.model, self.loss, self.rivals = model, params.loss, rivals  # (C, C), see `_rivals`
        self.generator = ClassGenerator(params.generator.mode, params.generator.num_classes, params.generator.beta)

    def forward(self, video, labels, word_vectors, rng):
        """Normalized video (N, K, 3, T, H, W) or (N, K, F), labels (N,), word vectors (C, W) -> the loss, its terms."""
        terms = aurl.losses.total(
            self.loss.terms, **self.model(video, word_vectors), labels=labels,
            generator=self.generator, rng=rng, scale=self.loss.scale,
            uniformity_weight=self.loss.uniformity_weight, margin=self.loss.margin,
            among=None if self.rivals is None else self.rivals[labels],
        )  # fmt: skip
        return terms["total"], {name: term.detach() for name, term in terms.items()}


class Order(torch.utils.data.Sampler):
    """Which videos every step sees, from step ``first`` on, as pairs (epoch, place); iterating gives this process's.

    An epoch is a random order of all videos, in whole batches, ``train.steps`` of them at most. Processes have disjoint
    parts of a batch, ``rows`` of it, that together are the batch; so what a step sees does not depend on their number.

    Raises UserError for a batch larger than the number of ``videos``.
    """

    def __init__(self, videos, train, seed, first=0, rank=None, count=None):
        self.videos, self.batch, self.seed, self.first = videos, train.batch, seed, first
        self.steps = min(videos // train.batch, train.steps or videos)  # in an epoch
        if not self.steps:
            raise UserError(f"train.batch is {train.batch} but there are only {videos} training videos: lower it.")
        self.total = self.steps * train.epochs
        rank, count = processes.rank() if rank is None else rank, count or processes.count()
        self.rows = processes.share(train.batch, rank, count)
        self._epoch, self._shuffled = None, None

    def places(self, step):
        """The whole batch of a step, from 0 on."""
        epoch, number = divmod(step, self.steps)
        if epoch != self._epoch:
            rng = torch.Generator().manual_seed(_draw(self.seed, epoch, "order"))
            self._epoch, self._shuffled = epoch, torch.randperm(self.videos, generator=rng)
        return [(epoch, i) for i in self._shuffled[number * self.batch : (number + 1) * self.batch].tolist()]

    def __iter__(self):
        return (self.places(step)[self.rows] for step in range(self.first, self.total))

    def __len__(self):
        return self.total - self.first


def validate(model, val, word_vectors, params):
    """Top-1 in [0, 1] among the training classes, closeness and dispersion, on validation videos.

    Top-1 is by the classes' names or, where no term of the loss knows names, by their visual centers.
    """
    video, labels = encode(model, val, params.train.micro_batch or params.train.batch, params.compute)
    classes = encode_classes(model, word_vectors)
    if not np.allclose((video**2).sum(axis=-1), 1, atol=0.01):  # NaN, or zero where a length overflowed
        raise UserError(
            f"training of variant {params.variant} diverged and its features have no direction any more: "
            f"lower train.lr ({params.train.lr})."
        )
    nameless = set(params.loss.terms) <= aurl.losses.NAMELESS
    known = aurl.losses.unit(model.centers.detach()).cpu().numpy() if nameless else classes
    return {
        "val_top1": metrics.topk_accuracy(similarity(video, known, model.relation), labels, 1),
        "val_closeness": metrics.closeness(whole(video), classes, labels),
        "val_dispersion": metrics.dispersion(classes),
    }


def _rivals(clips, classes, device):
    """Which classes share a training set, (C, C) bool: the videos of a class are told apart from these only."""
    sources = {}
    for name, label in zip(clips.ids, clips.labels, strict=True):  # a video's name begins with that of its set
        sources.setdefault(name.partition("/")[0], set()).add(label)
    rivals = torch.zeros(classes, classes, dtype=torch.bool)
    for labels in sources.values():
        own = torch.tensor(sorted(labels))
        rivals[own[:, None], own] = True
    return rivals.to(device)


def _optimizer(train, model):
    weights = [weight for weight in model.parameters() if weight.ndim > 1 or train.decay_norms]
    rest = [weight for weight in model.parameters() if weight.ndim <= 1 and not train.decay_norms]
    groups = [{"params": weights, "weight_decay": train.weight_decay}]
    groups += [{"params": rest, "weight_decay": 0.0}] if rest else []
    if train.optimizer == "sgd":
        return torch.optim.SGD(groups, train.lr, momentum=0.9, fused=True)
    return {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[train.optimizer](groups, train.lr, fused=True)


def _share_of_peak(epoch, train):
    """The learning rate at a (fractional) epoch, as a share of its peak.

    Warm-up is linear from 0, then a cosine falls to 0, each milestone divides by ten, or nothing changes.
    """
    if epoch < train.warmup_epochs:
        return epoch / train.warmup_epochs
    if train.schedule == "constant":
        return 1.0
    if train.schedule == "steps":
        return 0.1 ** sum(epoch >= milestone for milestone in train.milestones)
    return 0.5 * (1 + math.cos(math.pi * (epoch - train.warmup_epochs) / max(train.epochs - train.warmup_epochs, 1e-9)))


def _not_finite(run, ids, progress):
    """The error for a loss or a gradient that is not finite."""
    listed = ", ".join(ids[:8])
    if len(ids) > 8:
        path = progress.folder / "not-finite.txt"
        write_bytes(path, "\n".join(ids).encode())
        listed += f" and {len(ids) - 8} more in {path}"
    rate = run.schedule.get_last_lr()[0]
    return UserError(
        f"the loss is not finite in the {run.name}, in step {run.step + 1} (epoch {run.step // run.steps + 1}), at "
        f"learning rate {rate:g} and with the videos {listed}: lower train.lr or look at these videos; the last "
        f"state before it is kept in {progress.folder}."
    )


def _draw(*key):
    """A seed of 63 bits from anything that has a text."""
    return int.from_bytes(hashlib.sha256(repr(key).encode()).digest()[:8], "big") >> 1


def _key(run, clips, val, names):
    """Everything that the result depends on; the initial weights stand for ``start``."""
    sections = {name: getattr(run.params, name).model_dump() for name in SECTIONS}
    sections["train"] = {name: value for name, value in sections["train"].items() if name not in NEUTRAL}
    return key_of(
        code=code.digest("aurl.training.loop", "aurl.data.clips", without=HARMLESS),
        versions={name: version(name) for name in ("av", "numpy", "torch", "torchvision")},
        arithmetic=run.facts(),
        params=sections,
        seed=run.params.seed,
        weights={name: _digest(weight) for name, weight in run.model.state_dict().items()},
        rivals=None if run.rivals is None else _digest(run.rivals),
        clips=clips.facts(),
        val=val.facts(),
        names=list(names),
        word_vectors=_digest(run.word_vectors),
    )


def _digest(tensor):
    return hashlib.sha256(tensor.detach().cpu().contiguous().numpy().tobytes()).hexdigest()
