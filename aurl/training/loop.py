"""Train AURL or a baseline: one loop, a checkpoint, and a history of every epoch.

The loop is `steps`, and one step is `Run.take_step`. `train` adds what keeps a long training safe and visible: locks,
states to resume from, curves, and the checkpoint. `train_in_memory` runs the same loop and writes nothing.

The number of processes that share a batch changes only the last digits of the weights; the exceptions are mvit and
swin3d, which skip blocks at random. All random numbers derive from the seed and the number of the step or epoch, so the
state of a training is its weights, its optimizer and its step.
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
from aurl.project import cache
from aurl.project.files import write_bytes
from aurl.project.progress import bar
from aurl.training import checkpoints, devices, processes
from aurl.training.curves import Watch
from aurl.training.inference import encode, encode_classes, mean_over_segments, similarity, to_device

SECTIONS = ("model", "loss", "generator", "train")  # sections of params.yaml that determine the weights
# Parameters of ``train`` that do not change the weights.
IGNORED = {"processes", "nodes", "rendezvous", "save_minutes", "save_steps", "log_every"}


def train(params, clips, val, names, word_vectors, folder, scratch, start=None, live=None, vocabulary=None):
    """Train one variant, write its best checkpoint, and return the history with one row per epoch.

    The best checkpoint has the highest top-1 on ``val``, held-out videos of the *training* classes (the first if
    tied); no test class is used. A killed training resumes from its last state and ends with the same bytes. A finished
    training with the same code, parameters, videos, word vectors and seed is reused. ``train.processes`` processes are
    started here, unless ``torchrun`` has started them.

    Args:
        params: the sections ``model, loss, generator, train, compute``, and ``variant`` and ``seed``.
        clips: training `aurl.data.clips.Clips`, whose labels index ``names``.
        val: validation `aurl.data.clips.Clips`.
        names: C class names.
        word_vectors: (C, W) word vectors of the classes.
        folder: receives ``model.safetensors`` and ``model.json``.
        scratch: holds the states of unfinished trainings and the results of finished ones.
        start: a folder that `aurl.training.checkpoints.save` wrote. Its backbone replaces random weights and
            ``model.weights``.
        live: a folder for curves to watch during the training (`aurl.training.curves`).
        vocabulary: V words and their vectors (V, W), which ``model.projection: attributes`` needs.

    Raises:
        UserError: for a batch larger than the training set, a loss that is not finite, another training in the same
            folder, a process that dies too often, and an interruption.
    """
    return processes.run_in_processes(
        _train, params, clips, val, names, word_vectors, folder, scratch, start, live, vocabulary,
        processes=params.train.processes, nodes=params.train.nodes, rendezvous=params.train.rendezvous,
        folder=scratch, name=f"training of {params.variant} seed {params.seed}",
    )  # fmt: skip


@devices.explain_out_of_memory("train.micro_batch")
def _train(params, clips, val, names, word_vectors, folder, scratch, start, live, vocabulary):
    run = Run(params, clips, names, word_vectors, start, vocabulary)
    key = _key(run, clips, val, names)
    first = processes.rank() == 0  # the only process that writes
    progress = checkpoints.Progress(Path(scratch, f"{params.variant}-{params.seed}"), key, params.train, first)
    with progress.locked(run.name, folder), checkpoints.Interruption() as interruption:
        processes.gather(np.array([run.step]))  # the others wait until the first has the locks
        text = {"text": params.text.source} if getattr(params, "text", None) else {}  # what embedded the classes
        if (history := progress.finished(folder, **text)) is not None:
            return pd.DataFrame(history)
        run.restore(progress.last_state())
        if len(set(processes.gather(np.array([run.step])))) > 1:
            raise RuntimeError("the processes do not see the same states: all machines must share the project's folder")
        progress.keep(run.step, run.state())  # finds a folder that is not writable before hours are spent
        try:
            with (
                contextlib.closing(steps(run, clips, val, lambda: interruption.asked, show=first)) as taken,
                Watch(live if first else None, run.step) as watch,
            ):
                for means, found, stop in taken:
                    if run.step % params.train.log_every == 0:
                        watch.log(run.step, {f"train/{name}": mean for name, mean in means.items()})
                    if found:
                        watch.log(run.step, {name.replace("_", "/", 1): value for name, value in found.items()})
                    stop = stop and run.step < run.total
                    if found or stop or progress.should_keep(run.step):
                        progress.keep(run.step, run.state(), needed=stop)
                    if stop:
                        raise UserError(
                            f"{run.name} was interrupted after step {run.step} of {run.total} and saved: the same "
                            "command goes on from there."
                        )
        except NotFinite as error:
            raise _not_finite(run, error.ids, progress) from None
        if first:
            about = {"epoch": run.best["epoch"], "val_top1": run.best["val_top1"], "arithmetic": run.facts()}
            about |= {"vocabulary": list(run.vocabulary)} if run.vocabulary else {}
            about |= {"features": run.dim} if run.dim else {}
            about |= text
            about |= {"clip": clips.clip.model_dump()} if clips.clip else {}  # for aurl.classify.classifier
            checkpoints.save(folder, run.best["weights"], params.model, names, run.word_vectors.shape[1], **about)
            progress.finish(folder, run.history)
    return pd.DataFrame(run.history)


@devices.explain_out_of_memory("train.micro_batch")
def train_in_memory(params, clips, val, names, word_vectors, vocabulary=None):
    """Train without writing anything, and return the `Run` with the weights of its best epoch.

    Arguments are as for `train`. Raises `NotFinite` for a loss or a gradient that is not finite.
    """
    run = Run(params, clips, names, word_vectors, vocabulary=vocabulary)
    for _ in steps(run, clips, val):
        pass
    run.judged.load_state_dict(run.best["weights"])
    return run


class NotFinite(Exception):
    """The loss or the gradient of a step is not finite; ``ids`` are the videos of its batch."""

    def __init__(self, ids):
        super().__init__(f"the loss is not finite with the videos {', '.join(ids[:8])}")
        self.ids = ids


def steps(run, clips, val, asked=lambda: False, show=False):
    """The training loop: take every remaining step, and validate after each epoch.

    Yields after each step the means over its batch (`Run.take_step`), the result of `validate` if the step ends an
    epoch, else ``None``, and whether any process was asked to stop. ``asked()`` tells whether this process was. With
    ``show``, draws a progress bar. Raises `NotFinite` for a loss or gradient that is not finite; that step changes no
    weights.
    """
    train = run.params.train
    order = Order(len(clips), train, run.params.seed, run.step)
    batches = clips.batches(order.rows.stop - order.rows.start, order, run.params.compute)
    with bar(batches, desc=run.name, unit="step", total=order.total, initial=run.step, disable=not show) as drawn:
        for batch in drawn:
            means, stop = run.take_step(batch, order, asked())
            if not math.isfinite(means["total"] + means["grad_norm"]):
                raise NotFinite([clips.ids[i] for _, i in order.places(run.step)])
            drawn.set_postfix_str(f"epoch {run.epoch}/{train.epochs}, loss {means['total']:.2f}", False)
            if rate := drawn.format_dict["rate"]:  # steps per second, known after the first ones
                means["clips_per_second"] = train.batch * clips.count * rate
            found = None
            if run.step % order.steps == 0:
                found = validate(run.judged, val, run.word_vectors, run.params)
                run.close_epoch(found)
            yield means, found, stop


class Run:
    """A training: its model, its optimizer and its progress. `state` holds everything that steps change."""

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
        # A backbone without deterministic gradients still trains, with a warning. Apple's GPU is untested.
        always = backbones.is_deterministic(model.backbone) and device.type != "mps"
        torch.use_deterministic_algorithms(True, warn_only=not always)
        torch.utils.deterministic.fill_uninitialized_memory = False  # else every new tensor is filled with NaN first
        if start is not None:
            model.backbone.load_state_dict(checkpoints.load(start)[0].backbone.state_dict())
        elif params.model.weights is not None:
            checkpoints.load_backbone(model.backbone, params.model.weights)
        batch = params.train.micro_batch or params.train.batch
        self.arithmetic = devices.choose_arithmetic(model, clips.clip, batch, params.compute)
        self.model = model.to(memory_format=self.arithmetic.memory_format)
        self.same_source = _same_source(clips, len(names), device) if params.loss.sources == "apart" else None
        self.objective = processes.synchronize(Objective(model, params, self.same_source))
        if self.arithmetic.compiled:
            model.backbone.compile()
        order = Order(len(clips), params.train, params.seed)
        self.steps, self.total = order.steps, order.total  # of an epoch, and of the training
        self.optimizer = _optimizer(params.train, model)
        self.schedule = LambdaLR(self.optimizer, lambda step: _share_of_peak_rate(step / self.steps, params.train))
        ema = params.train.ema
        self.average = ema and AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(ema), use_buffers=True)
        self.step, self.sums, self.history, self.best = 0, {}, [], None

    @property
    def epoch(self):
        """The epoch of the last step, counted from 1."""
        return max(0, self.step - 1) // self.steps + 1

    @property
    def judged(self):
        """The model that is validated and saved: the moving average of weights if there is one."""
        return self.average.module if self.average else self.model

    def facts(self):
        """The settings that change the last digits of the weights, as JSON values."""
        return self.arithmetic.facts() | {"processes": processes.count()}

    def take_step(self, batch, order, stop=False):
        """Take one step of the optimizer on this process's part of a batch.

        The step counts, and changes the weights, only if loss and gradient are finite.

        Args:
            batch: videos (N, K, T, H, W, 3) uint8 or (N, K, F), labels (N,), and mirrored (N, K) bool.
            order: the `Order` that made the batch.
            stop: whether this process was asked to stop.

        Returns:
            The means over the whole batch of the loss's terms, with the gradient's norm and the learning rate, as a
            dict; and whether any process was asked to stop.
        """
        train, seed, model = self.params.train, self.params.seed, self.model
        model.train()
        clips = batch[0].shape[1]  # per video
        model.dropout.batch_rows, model.dropout.first_row = train.batch * clips, order.rows.start * clips
        self.optimizer.zero_grad()
        sums = {}
        parts = list(zip(*(values.tensor_split(train.parts) for values in batch), strict=True))
        for number, (video, labels, mirrored) in enumerate(parts, start=1):
            torch.manual_seed(_draw(seed, self.step, "dropout"))  # the same numbers for all parts of a batch
            rng = torch.Generator().manual_seed(_draw(seed, self.step, "generator"))
            last = number == len(parts)  # processes exchange gradients after the last part only
            with contextlib.nullcontext() if last or processes.count() == 1 else self.objective.no_sync():
                with self.arithmetic.autocast():
                    inputs = to_device(video, mirrored, self.arithmetic)  # (n, K, 3, T, H, W)
                    total, terms = self.objective(inputs, labels.to(inputs.device), self.word_vectors, rng)
                weight = len(labels) / train.batch
                (total * weight * processes.count()).backward()  # times their number: they average gradients
            for name, term in terms.items():
                sums[name] = sums.get(name, 0) + weight * term
            model.dropout.first_row += len(labels) * clips
        names, found = [*sums, "stop"], [*sums.values(), sums["total"].new_tensor(float(stop))]
        means = dict(zip(names, processes.sum_over_processes(torch.stack(found)).tolist(), strict=True))
        stop = means.pop("stop") > 0
        gradients = [weight.grad for weight in model.parameters() if weight.grad is not None]
        means["grad_norm"] = torch.nn.utils.get_total_norm(gradients).item()
        means["lr"] = self.schedule.get_last_lr()[0]
        if math.isfinite(means["total"] + means["grad_norm"]):
            self.optimizer.step()
            self.schedule.step()
            if self.average:
                self.average.update_parameters(model)
            self.step += 1
            for name, mean in means.items():
                self.sums[name] = self.sums.get(name, 0) + mean
        return means, stop

    def close_epoch(self, found):
        """Add an epoch to the history, with means over its steps and `validate`'s ``found``; keep the best weights."""
        means = {name: total / self.steps for name, total in self.sums.items()}
        means["lr"], self.sums = self.schedule.get_last_lr()[0], {}
        self.history.append({"epoch": self.epoch} | means | found)
        if self.best is None or found["val_top1"] > self.best["val_top1"]:
            weights = {name: own.detach().cpu().contiguous().clone() for name, own in self.judged.state_dict().items()}
            self.best = {"val_top1": found["val_top1"], "epoch": self.epoch, "weights": weights}

    def state(self):
        """Everything that steps change, as `torch.save` can hold it."""
        parts = {name: getattr(self, name).state_dict() for name in ("model", "optimizer", "schedule")}
        average = self.average.state_dict() if self.average else None
        counts = {name: getattr(self, name) for name in ("step", "sums", "history", "best")}
        return parts | {"average": average} | counts

    def restore(self, state):
        """Resume from a `state`; ``None`` starts from the beginning."""
        if state is None:
            return
        for name in ("model", "optimizer", "schedule"):
            getattr(self, name).load_state_dict(state[name])
        if self.average:
            self.average.load_state_dict(state["average"])
        for name in ("step", "sums", "history", "best"):
            setattr(self, name, state[name])


class Objective(torch.nn.Module):
    """The loss of an `aurl.models.AURL` as one module, so that DistributedDataParallel sees which weights it uses."""

    def __init__(self, model, params, same_source=None):
        super().__init__()
        self.model, self.loss, self.same_source = model, params.loss, same_source  # (C, C), see `_same_source`
        self.generator = ClassGenerator(params.generator.mode, params.generator.num_classes, params.generator.beta)

    def forward(self, video, labels, word_vectors, rng):
        """Normalized video (N, K, 3, T, H, W) or (N, K, F), labels (N,), word vectors (C, W) -> the loss, its terms."""
        terms = aurl.losses.total(
            self.loss.terms, **self.model(video, word_vectors), labels=labels,
            generator=self.generator, rng=rng, scale=self.loss.scale,
            uniformity_weight=self.loss.uniformity_weight, margin=self.loss.margin,
            among=None if self.same_source is None else self.same_source[labels],
        )  # fmt: skip
        return terms["total"], {name: term.detach() for name, term in terms.items()}


class Order(torch.utils.data.Sampler):
    """The videos of every step from step ``first`` on, as pairs (epoch, index); iterating gives this process's part.

    An epoch is a random order of all videos in full batches, ``train.steps`` of them at most. Each process has the
    slice ``rows`` of a batch, so the videos of a step do not depend on the number of processes.

    Raises UserError for a batch larger than the number of ``videos``.
    """

    def __init__(self, videos, train, seed, first=0, rank=None, count=None):
        self.videos, self.batch, self.seed, self.first = videos, train.batch, seed, first
        self.steps = min(videos // train.batch, train.steps or videos)  # per epoch
        if not self.steps:
            raise UserError(f"train.batch is {train.batch} but there are only {videos} training videos: lower it.")
        self.total = self.steps * train.epochs
        rank, count = processes.rank() if rank is None else rank, count or processes.count()
        self.rows = processes.own_rows(train.batch, rank, count)
        self._epoch, self._shuffled = None, None

    def places(self, step):
        """The pairs (epoch, index) of the whole batch of a step, counted from 0."""
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

    Top-1 compares videos with class names or, if no term of the loss uses names, with visual centers. Raises UserError
    for features that are NaN or zero, after training diverged.
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
        "val_closeness": metrics.closeness(mean_over_segments(video), classes, labels),
        "val_dispersion": metrics.dispersion(classes),
    }


def _same_source(clips, classes, device):
    """Whether two classes share a training set, (C, C) bool: a video competes with classes of its own set only."""
    sources = {}
    for name, label in zip(clips.ids, clips.labels, strict=True):  # a video's id begins with the name of its set
        sources.setdefault(name.partition("/")[0], set()).add(label)
    same = torch.zeros(classes, classes, dtype=torch.bool)
    for labels in sources.values():
        own = torch.tensor(sorted(labels))
        same[own[:, None], own] = True
    return same.to(device)


def _optimizer(train, model):
    weights = [weight for weight in model.parameters() if weight.ndim > 1 or train.decay_norms]
    rest = [weight for weight in model.parameters() if weight.ndim <= 1 and not train.decay_norms]
    groups = [{"params": weights, "weight_decay": train.weight_decay}]
    groups += [{"params": rest, "weight_decay": 0.0}] if rest else []
    if train.optimizer == "sgd":
        return torch.optim.SGD(groups, train.lr, momentum=0.9, fused=True)
    return {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[train.optimizer](groups, train.lr, fused=True)


def _share_of_peak_rate(epoch, train):
    """The learning rate at a (fractional) epoch, as a share of its peak in [0, 1].

    It warms up linearly from 0. Then a cosine decreases it to 0, each milestone divides it by ten, or it is constant.
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
    """A seed of 63 bits from any values with a `repr`."""
    return int.from_bytes(hashlib.sha256(repr(key).encode()).digest()[:8], "big") >> 1


def _key(run, clips, val, names):
    """The key of everything that the result depends on; ``start`` enters by the initial weights."""
    sections = {name: getattr(run.params, name).model_dump() for name in SECTIONS}
    sections["train"] = {name: value for name, value in sections["train"].items() if name not in IGNORED}
    return cache.key_of(
        code=cache.code_digest("aurl.training.loop", "aurl.data.clips", skip=cache.NAMES_GIVEN),
        versions={name: version(name) for name in ("av", "numpy", "torch", "torchvision")},
        arithmetic=run.facts(),
        params=sections,
        seed=run.params.seed,
        weights={name: _digest(weight) for name, weight in run.model.state_dict().items()},
        same_source=None if run.same_source is None else _digest(run.same_source),
        clips=clips.facts(),
        val=val.facts(),
        names=list(names),
        word_vectors=_digest(run.word_vectors),
    )


def _digest(tensor):
    return hashlib.sha256(tensor.detach().cpu().contiguous().numpy().tobytes()).hexdigest()
