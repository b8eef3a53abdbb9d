"""The training loop on videos of colored noise: it learns, repeats itself to the byte, and survives being killed."""

import copy
import json
import math
import re
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from colored import LOSS, MODEL, NAMES, WORDS, fixed, settings, videos, watched
from errors import error_message
from project import ROOT

from aurl import UserError, losses, models
from aurl.project import cache, config
from aurl.training import checkpoints, inference
from aurl.training import loop as training


def left(tmp_path, scratch="run"):
    """Which unfinished runs have states, and after how many steps the last one is."""
    found = {path.parent.name.rpartition("-")[0]: int(path.name.split("-")[1]) for path in states(tmp_path, scratch)}
    return list(found.items())


def states(tmp_path, scratch="run"):
    return sorted(tmp_path.glob(f"scratch-{scratch}/*/state-*.pt"))


# --- learning --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "change",
    [dict(), dict(precision="bf16"), dict(loss=dict(terms=["semantic"]), optimizer="sgd", lr=0.001)],
    ids=["aurl", "bf16", "sgd"],
)  # fmt: skip
def test_it_learns(run, change, tmp_path):
    history = run(settings(**dict(epochs=12, batch=8) | change))
    assert history["epoch"].tolist() == list(range(1, len(history) + 1)) and len(history) == 12
    assert history["total"].iloc[-1] < 0.8 * history["total"].iloc[0]
    assert history["val_top1"].max() > 0.6  # chance is 0.25
    terms = change.get("loss", LOSS)["terms"]
    always = "epoch lr grad_norm total alignment uniformity val_top1 val_closeness val_dispersion"
    assert set(history) == {*always.split(), *terms}
    np.testing.assert_allclose(history["total"], history[terms].sum(axis=1), rtol=1e-5)
    assert np.isfinite(history).all(axis=None) and history["val_top1"].between(0, 1).all()
    assert left(tmp_path) == []


@pytest.mark.parametrize("variant", config.load(ROOT / "params.yaml").variants)
def test_every_variant_of_the_parameter_file_learns(variant, run, tmp_path):
    params = config.load(ROOT / "params.yaml", variant)
    small = {"hidden": 8, "word_hidden": 8, "dim": 6 if params.model.semantic == "fixed" else 8}
    params = params.replace(model=small | {"backbone": "features"}, train={"epochs": 16, "batch": 8, "lr": 0.01})
    data = [fixed(tmp_path, *which, count=params.clip.segments) for which in ((16, 1, 0), (4, 2))]
    history = run(params, clips=data[0], val=data[1], vocabulary=(NAMES, WORDS))
    assert history["total"].iloc[-1] < history["total"].iloc[0] and history["val_top1"].max() > 0.4  # chance is 0.25


def test_the_history_is_the_mean_over_steps(run, monkeypatch):
    totals, total = [], losses.total

    def watching(*arguments, **options):
        totals.append(total(*arguments, **options))
        return totals[-1]

    monkeypatch.setattr(losses, "total", watching)
    history = run(settings(epochs=2))
    assert len(totals) == 8
    for name in ("total", "synthetic", "alignment"):
        means = np.reshape([step[name].item() for step in totals], (2, 4)).mean(axis=1)
        np.testing.assert_allclose(history[name], means, rtol=1e-5)


@pytest.fixture
def rates(monkeypatch):
    """Grows by the learning rate of every training step."""
    taken, step = [], torch.optim.AdamW.step

    def watching(self, *arguments):
        (rate,) = {group["lr"] for group in self.param_groups}
        taken.append(rate)
        return step(self, *arguments)

    monkeypatch.setattr(torch.optim.AdamW, "step", watching)
    return taken


def test_the_learning_rate_warms_up_and_falls_to_zero(run, rates):
    history = run(settings(epochs=3, warmup_epochs=1, lr=0.02))
    expected = [0.02 * at for at in (0, 0.25, 0.5, 0.75)]  # four steps an epoch
    expected += [0.01 * (1 + math.cos(math.pi * i / 8)) for i in range(8)]
    np.testing.assert_allclose(rates, expected, atol=1e-12)
    np.testing.assert_allclose(history["lr"], [0.02, 0.01, 0], atol=1e-12)  # as each epoch ends


def test_every_epoch_has_random_numbers_of_its_own(run, data, monkeypatch):
    """And every step: a run that goes on needs to know no more than where it is."""
    epochs, seeds, total = [], [], losses.total

    def watching(*arguments, rng, **options):
        seeds.append(rng.initial_seed())
        return total(*arguments, rng=rng, **options)

    monkeypatch.setattr(losses, "total", watching)
    run(settings(epochs=3, batch=32), clips=watched(data[0], lambda epoch, i: epochs.append(epoch)))
    assert epochs == [0] * 64 + [1] * 64 + [2] * 64  # on which the clips' random starts hang
    assert len(seeds) == len(set(seeds)) == 6


@pytest.fixture
def steps(monkeypatch):
    """Grows by one with every training step."""
    taken, step = [], torch.Tensor.backward
    monkeypatch.setattr(torch.Tensor, "backward", lambda self: taken.append(1) or step(self))
    return taken


# --- the same parameters, the same bytes -----------------------------------------------------------


def test_the_same_seed_gives_the_same_bytes_and_another_does_not(run, written):
    first = run(settings(epochs=2), "first")
    torch.rand(7), np.random.rand(7)  # what ran before is of no matter
    second = run(settings(epochs=2), "second")
    other = run(settings(seed=1, epochs=2), "other")
    assert written("first") == written("second") and first.to_csv() == second.to_csv()
    assert written("first")[0] != written("other")[0] and first.to_csv() != other.to_csv()


def test_weights_do_not_depend_on_what_new_memory_holds(run, written, monkeypatch):
    """PyTorch would fill it with NaN where algorithms are deterministic, which takes time."""
    run(settings(epochs=2))
    assert not torch.utils.deterministic.fill_uninitialized_memory
    take_step = training.Run.take_step

    def filled(*arguments):
        torch.utils.deterministic.fill_uninitialized_memory = True
        return take_step(*arguments)

    monkeypatch.setattr(training.Run, "take_step", filled)
    run(settings(epochs=2), "filled")
    assert written("filled") == written()


def test_training_in_memory_gives_the_weights_of_training(run, data, tmp_path):
    run(settings())
    found = training.train_in_memory(settings(), *data, NAMES, WORDS)
    expected, about = checkpoints.load(tmp_path / "run")
    assert found.best["epoch"] == about["epoch"]
    for name, weight in expected.state_dict().items():
        assert torch.equal(found.judged.state_dict()[name], weight), name


def interrupt(monkeypatch, epoch):
    """Be killed in the middle of an epoch, after its steps."""
    calls, validate = [], training.validate

    def failing(*arguments):
        calls.append(1)
        if len(calls) == epoch:
            monkeypatch.setattr(training, "validate", validate)
            raise KeyboardInterrupt
        return validate(*arguments)

    monkeypatch.setattr(training, "validate", failing)


@pytest.mark.parametrize(
    ("epoch", "optimizer", "of_features"),
    [(1, "sgd", False), (2, "adamw", False), (4, "sgd", False), (3, "adamw", True)],
)
def test_a_killed_run_goes_on_and_ends_with_the_same_bytes(
    run, written, steps, tmp_path, monkeypatch, epoch, optimizer, of_features
):
    data = dict(clips=fixed(tmp_path, 16, 1, random=0), val=fixed(tmp_path, 4, 2)) if of_features else {}
    params = settings(optimizer=optimizer)
    whole = run(params, "whole", **data)
    interrupt(monkeypatch, epoch)
    with pytest.raises(KeyboardInterrupt):
        run(params, **data)
    assert not list(tmp_path.glob("run/*")) and left(tmp_path) == [("aurl-0", 4 * (epoch - 1))]
    before = len(steps)
    assert run(params, **data).to_csv() == whole.to_csv() and written() == written("whole")
    assert len(steps) - before == 4 * (4 - epoch + 1)  # whole epochs were not repeated
    assert not states(tmp_path)


def test_an_unfinished_run_of_something_else_is_left_alone(run, written, monkeypatch):
    interrupt(monkeypatch, 2)
    with pytest.raises(KeyboardInterrupt):
        run(settings(epochs=2))
    other = settings(epochs=2, lr=5e-3)
    run(other, "after", scratch="run")
    run(other, "alone")
    assert written("after") == written("alone")


def test_an_unfinished_run_that_cannot_be_read_is_begun_anew(run, written, tmp_path, monkeypatch, steps):
    params = settings(epochs=2)
    run(params, "whole")
    interrupt(monkeypatch, 2)
    with pytest.raises(KeyboardInterrupt):
        run(params)
    for name, harm in {
        "cut": lambda path: path.write_bytes(path.read_bytes()[:5000]),
        "empty": lambda path: path.write_bytes(b""),
        "text": lambda path: path.write_bytes(b"not a state" * 100),
        "list": lambda path: torch.save([1, 2], path),
        "foreign": lambda path: torch.save({"weights": torch.ones(2)}, path),
    }.items():
        shutil.copytree(tmp_path / "scratch-run", tmp_path / f"scratch-{name}")
        found = states(tmp_path, name)
        assert found
        for path in found:
            harm(path)
        before = len(steps)
        run(params, name)
        assert len(steps) == before + 8 and written(name) == written("whole") and left(tmp_path, name) == [], name


# --- the checkpoint --------------------------------------------------------------------------------


def test_the_checkpoint_is_the_best_on_validation_and_the_first_of_equals(run, tmp_path, monkeypatch):
    scores, weights = iter([0.2, 0.7, 0.3, 0.7]), []

    def validate(model, *_):
        weights.append({name: tensor.clone() for name, tensor in model.state_dict().items()})
        return {"val_top1": next(scores)}

    monkeypatch.setattr(training, "validate", validate)
    run()
    model, facts = checkpoints.load(tmp_path / "run")
    assert facts["epoch"] == 2 and facts["val_top1"] == 0.7
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, weights[1][name]), name
    assert not torch.equal(model.centers, weights[3]["centers"])


def test_the_recorded_score_is_that_of_the_checkpoint(run, tmp_path, data):
    history = run()
    model, facts = checkpoints.load(tmp_path / "run")
    found = training.validate(model, data[1], torch.from_numpy(WORDS), settings())
    row = history.set_index("epoch").loc[facts["epoch"]]
    assert facts["val_top1"] == found["val_top1"] == history["val_top1"].max() == row["val_top1"]
    assert found["val_closeness"] == pytest.approx(row["val_closeness"], abs=1e-6)
    assert found["val_dispersion"] == pytest.approx(row["val_dispersion"], abs=1e-6)
    assert facts["classes"] == NAMES and facts["word_dim"] == 6 and facts["model"] == MODEL


# --- mistakes --------------------------------------------------------------------------------------


def test_several_training_sets_have_a_loss_each(run, data, written):
    """A video competes with the classes of its own set alone."""

    def history(name, sets, sources="apart"):
        ids = [f"{sets[label]}/{i}" for i, label in enumerate(data[0].labels)]
        terms = dict(terms=["semantic", "visual"], sources=sources)
        return run(settings(epochs=2, loss=terms), name, clips=changed(data[0], ids=ids))

    together = history("together", "aabb", "together")
    history("one", "aaaa")
    assert written("one") == written("together")
    alone = history("alone", "abcd")  # a video has no class to be told apart from
    assert alone["total"].tolist() == pytest.approx([0, 0], abs=1e-5)
    assert alone["uniformity"].min() > 2  # of all classes
    pairs = history("pairs", "aabb")
    assert 0.5 < pairs["total"][0] < together["total"][0] - 0.5  # in the mean, log 2 and log 4 for each term


def test_words_that_a_model_tells_are_kept_with_it(run, tmp_path):
    changes = dict(model=dict(projection="attributes", semantic="fixed"), loss=dict(terms=["semantic"]))
    attributes = settings(epochs=12, batch=8, **changes)
    spoken = ["red", "blue", "grün", "dark", "bright"], np.eye(5, 6, dtype=np.float32)
    history = run(attributes, vocabulary=spoken)
    assert history["total"].iloc[-1] < 0.9 * history["total"].iloc[0]
    model, facts = checkpoints.load(tmp_path / "run")
    assert facts["vocabulary"] == spoken[0]
    np.testing.assert_array_equal(model.projection.vectors.cpu(), spoken[1])
    with pytest.raises(UserError, match="needs semantic fixed and a vocabulary of one word or more"):
        run(attributes)


def test_a_batch_above_the_number_of_videos_is_said(run, tmp_path):
    with pytest.raises(UserError, match=r"^train\.batch is 65 but there are only 64 training videos: [^.]*\.$"):
        run(settings(batch=65))
    assert not list(tmp_path.iterdir())


def test_a_loss_that_explodes_is_said(run, tmp_path):
    found = re.fullmatch(
        r"the loss is not finite in the training of aurl seed 0, in step (\d+) \(epoch 1\), at learning rate [\d.e+]+ "
        r"and with the videos ((?:1-\d+, ){7}1-\d+) and 8 more in (\S+): lower train\.lr or look at these videos; "
        r"the last state before it is kept in \S+\.",
        error_message(run, settings(optimizer="sgd", lr=1e30, warmup_epochs=0, save_steps=1)),
    )
    assert found
    listed = Path(found[3]).read_text().split("\n")
    order = training.Order(64, settings(batch=16).train, 0)
    step = int(found[1])
    assert ", ".join(listed[:8]) == found[2] and listed == [f"1-{i}" for _, i in order.places(step - 1)]
    assert not list(tmp_path.glob("run/*")) and left(tmp_path) == [("aurl-0", step - 1)]


@pytest.mark.parametrize("features", [0.0, float("nan")])
def test_features_that_explode_are_said(run, monkeypatch, features):
    """The loss of the last step may still be a number when the features in eval mode are none."""
    encode = inference.encode
    monkeypatch.setattr(
        training, "encode", lambda *arguments: (encode(*arguments)[0] * np.float32(features), encode(*arguments)[1])
    )
    with pytest.raises(
        UserError,
        match=r"^training of variant aurl diverged and its .* no direction any more: lower train\.lr \(0\.01\)\.$",
    ):
        run(settings(epochs=1))


def test_a_run_can_start_from_the_backbone_of_another_or_of_a_file(run, tmp_path):
    run(name="first")
    first = checkpoints.load(tmp_path / "first")[0].cpu()
    torch.save(first.backbone.state_dict(), tmp_path / "weights.pth")
    run(settings(lr=1e-12, epochs=1), "another", start="first")
    run(settings(lr=1e-12, epochs=1, model={"weights": str(tmp_path / "weights.pth")}), "file")
    for source in ("another", "file"):
        found = checkpoints.load(tmp_path / source)[0].cpu()
        for (name, weight), other in zip(first.backbone.named_parameters(), found.backbone.parameters(), strict=True):
            assert torch.allclose(weight, other, atol=1e-6), (source, name)
        assert not torch.allclose(first.projection[0].weight, found.projection[0].weight, atol=1e-3)


def test_epochs_of_fewer_steps_see_other_videos_each_time(data, run):
    seen = []
    run(settings(steps=1, epochs=3), clips=watched(data[0], lambda *place: seen.append(place)))
    orders = [tuple(i for epoch, i in seen if epoch == number) for number in range(3)]
    assert [len(order) for order in orders] == [16] * 3 and len(set(orders)) == 3


# --- a finished training is not repeated ----------------------------------------------------------------


def test_a_finished_training_is_taken_over(run, written, steps):
    first = run(settings(epochs=2))
    assert len(steps) == 8
    run(settings(epochs=1, lr=5e-3), "other", scratch="run")
    assert len(steps) == 12 and written("other") != written()
    again = run(settings(epochs=2), "again", scratch="run")
    assert len(steps) == 12 and written("again") == written() and again.to_csv() == first.to_csv()


def test_a_training_that_is_taken_over_names_the_file_of_vectors_that_it_was_given(run, steps, tmp_path):
    for folder, file in (("run", "a.bin"), ("moved", "b.bin")):
        params = settings(epochs=1)
        params.text = SimpleNamespace(source={"vectors": file})
        run(params, folder, scratch="run")
        about = json.loads((tmp_path / folder / "model.json").read_text())
        assert about["text"]["vectors"] == file and len(steps) == 4


@pytest.mark.parametrize("train", [training.train, training.train_in_memory])
def test_memory_that_is_too_small_for_validation_names_the_batch_of_training(train, data, monkeypatch, tmp_path):
    def too_small(*_):
        raise torch.OutOfMemoryError

    monkeypatch.setattr(models.AURL, "encode_video", too_small)
    folders = (tmp_path / "run", tmp_path / "scratch") if train is training.train else ()
    with pytest.raises(UserError, match=r"is too small: set train\.micro_batch to fewer videos at a time\.$"):
        train(settings(epochs=1), *data, NAMES, WORDS, *folders)


def changed(clips, **attributes):
    """The same clips with other attributes."""
    other = copy.copy(clips)
    vars(other).update(attributes)
    return other


def test_a_finished_training_of_something_else_is_not(run, data, steps, monkeypatch):
    run(settings(epochs=1), "begun")
    run(settings(epochs=1))
    clips, val = data
    other = config.Clip(frames=4, segments=1, stride=2, size=16, crop="squash")
    for change, options in {
        "lr": dict(params=settings(epochs=1, lr=5e-3)),
        "seed": dict(params=settings(epochs=1, seed=1)),
        "words": dict(words=WORDS + np.eye(4, 6, 1, dtype=np.float32)),
        "names": dict(names=["red", "green", "blue", "black"]),
        "clips": dict(clips=videos(16, 3, random=0)),
        "val": dict(val=changed(val, digests=[f"{digest}, changed" for digest in val.digests])),
        "segments": dict(clips=changed(clips, segments=[(1, 4) for _ in clips.segments])),
        "clip": dict(clips=changed(clips, clip=other)),
        "start": dict(start="begun"),
        "precision": dict(params=settings(epochs=1, precision="bf16")),
        "code": {},
        "version": {},
    }.items():
        before = len(steps)
        with monkeypatch.context() as patch:
            if change == "code":
                patch.setattr(cache, "code_digest", lambda *_, **__: "another")
            if change == "version":
                patch.setattr(training, "version", lambda name: "another")
            run(**dict(params=settings(epochs=1), name=change, scratch="run") | options)
        assert len(steps) > before, change


def test_a_kill_while_a_result_is_kept_loses_nothing(run, written, tmp_path, monkeypatch):
    run(settings(epochs=1), "whole")
    write, count = checkpoints.write_bytes, []

    def failing(path, data):
        if "scratch" in str(path) and not path.name.startswith("state"):
            count.append(1)
            if len(count) == writes:
                raise KeyboardInterrupt
        write(path, data)

    for writes in (1, 2, 3):
        count.clear()
        with monkeypatch.context() as patch:
            patch.setattr(checkpoints, "write_bytes", failing)
            with pytest.raises(KeyboardInterrupt):
                run(settings(epochs=1), f"{writes}")
        run(settings(epochs=1), f"{writes}")
        assert written(f"{writes}") == written("whole") and left(tmp_path, f"{writes}") == []


def test_a_finished_training_that_was_damaged_is_repeated(run, written, steps, tmp_path):
    run(settings(epochs=1))
    kept = written()
    for file, harm in (("model.safetensors", "flipped"), ("model.json", "cut"), ("finished.json", "flipped")):
        before = len(steps)
        path = next(tmp_path.glob(f"scratch-run/aurl-0-*/{file}"))
        content = path.read_bytes()
        path.write_bytes(content[:-1] if harm == "cut" else content[:20] + bytes([content[20] ^ 1]) + content[21:])
        run(settings(epochs=1), f"{file}-{harm}", scratch="run")
        assert len(steps) > before and written(f"{file}-{harm}") == kept, (file, harm)


# --- features that were computed elsewhere -----------------------------------------------------------


def test_features_are_trained_on_as_videos_are(run, tmp_path):
    data = [fixed(tmp_path, 16, 1, random=0), fixed(tmp_path, 4, 2)]
    params = settings(epochs=12, batch=8, precision="auto")
    history = run(params, clips=data[0], val=data[1])
    assert history["val_top1"].max() > 0.6  # chance is 0.25
    model, about = checkpoints.load(tmp_path / "run")
    assert about["features"] == 5 and about["arithmetic"]["precision"] == "float32"
    video, labels = inference.encode(model, data[1], 16, params.compute)
    found = (video @ inference.encode_classes(model, WORDS).T).argmax(axis=1)
    assert (found == labels).mean() == about["val_top1"]
