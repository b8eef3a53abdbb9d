"""A training outlives its processes: kills at any moment, full disks, Ctrl-C, a second training, and every number of
processes that share it."""

import multiprocessing
import os
import random
import signal
import threading
import time
from pathlib import Path

import disk
import numpy as np
import pytest
import torch
from colored import NAMES, WORDS, Watched, fixed, settings, watched

from aurl import UserError
from aurl.data.clips import Clips
from aurl.training import checkpoints, inference, processes
from aurl.training import loop as training


def kept(tmp_path, name="run"):
    """The steps of the states that are there."""
    return [int(path.name.split("-")[1]) for path in sorted(tmp_path.glob(f"scratch-{name}/*/state-*.pt"))]


def stop_in(epoch):
    """What interrupts a training in an epoch, for `watched`."""

    def stop(now, i):
        if now == epoch:
            raise KeyboardInterrupt

    return stop


# --- killed ----------------------------------------------------------------------------------------


def live_once(params, data, folder):
    torch.set_num_threads(1)
    training.train(params, *data, NAMES, WORDS, folder / "run", folder / "scratch-run")


def test_four_kills_at_random_moments_leave_no_trace(run, written, data, tmp_path):
    """Each life of the training is a process of its own, which SIGKILL ends wherever it is."""
    server = multiprocessing.get_context("forkserver")
    server.set_forkserver_preload(["aurl.training.loop"])
    params = settings(epochs=6, batch=8, save_steps=1, ema=0.9)
    begin = time.monotonic()
    whole = run(params, "whole")
    lasts, draw, kills, lives = time.monotonic() - begin, random.Random(0), 0, 0
    while not (tmp_path / "run/model.json").exists():
        lives += 1
        assert lives < 200
        child = server.Process(target=live_once, args=(params, data, tmp_path))
        child.start()
        if kills < 4:
            child.join(draw.uniform(0, min(lasts, 2) / 4))  # on a busy machine, the other may have taken far longer
            child.kill()
        child.join(60)
        kills += child.exitcode == -signal.SIGKILL
    assert kills >= 4
    assert run(params).to_csv() == whole.to_csv() and written() == written("whole")
    assert not kept(tmp_path)


class Deadly(Watched):
    """Kills the second process the first time that one of the ``epochs`` is reached."""

    def __init__(self, clips, folder, epochs):
        vars(self).update(vars(clips), folder=folder, epochs=epochs)

    def before(self, epoch, i):
        flag = self.folder / f"{epoch}"
        if epoch in self.epochs and os.environ.get("RANK") == "1" and not flag.exists():
            flag.touch()
            os.kill(os.getpid(), signal.SIGKILL)


def test_two_processes_survive_the_death_of_one(run, written, data, tmp_path, capfd):
    """The elastic launcher starts both again, they go on from the last state, and the bytes are the same."""
    params = settings(epochs=3, processes=2, save_steps=3, loss={"terms": ["semantic"]})  # leaves the centers unused
    whole = run(params, "whole")
    again = run(params, clips=Deadly(data[0], tmp_path, [1, 2]))
    assert again.to_csv() == whole.to_csv() and written() == written("whole")
    said = capfd.readouterr().err
    assert said.count("a process failed (exitcode: -9) local_rank: 1") == 2 and "Terminating" not in said


def test_a_damaged_state_is_passed_over_for_the_one_before_it(run, written, data, tmp_path, monkeypatch):
    params = settings(epochs=3, save_steps=1)
    run(params, "whole")
    with pytest.raises(KeyboardInterrupt):
        run(params, clips=watched(data[0], stop_in(2)))
    assert kept(tmp_path) == [7, 8]  # bounded in number
    last = sorted(tmp_path.glob("scratch-run/*/state-*.pt"))[-1]
    content = bytearray(last.read_bytes())
    content[len(content) // 2] ^= 1  # a bit that torch.load does not miss
    last.write_bytes(content)
    seen = set()
    run(params, clips=watched(data[0], lambda epoch, i: seen.add(epoch)))
    assert seen == {1, 2} and written() == written("whole")


def test_damaged_states_do_not_replace_new_ones(run, written, data, tmp_path):
    params = settings(epochs=3, save_steps=1)
    run(params, "whole")
    with pytest.raises(KeyboardInterrupt):
        run(params, clips=watched(data[0], stop_in(2)))
    for state in tmp_path.glob("scratch-run/*/state-*.pt"):
        state.write_bytes(state.read_bytes()[:-1])
    with pytest.raises(KeyboardInterrupt):
        run(params, clips=watched(data[0], stop_in(1)))  # from the beginning
    assert kept(tmp_path) == [3, 4]
    seen = set()
    run(params, clips=watched(data[0], lambda epoch, i: seen.add(epoch)))
    assert seen == {1, 2} and written() == written("whole")


@pytest.mark.parametrize("minutes, expected", [(1e-9, [6, 7]), (None, [4, 8]), (60, [4, 8])])
def test_states_are_kept_every_so_many_minutes(run, data, tmp_path, minutes, expected):
    def stop(epoch, i):
        if epoch == 2 or (minutes == 1e-9 and epoch == 1 and len(kept(tmp_path)) and kept(tmp_path)[-1] == 7):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(settings(epochs=3, save_minutes=minutes), clips=watched(data[0], stop))
    assert kept(tmp_path) == expected


# --- stopped ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_saves_and_says_how_to_go_on(run, written, data, tmp_path, sent):
    params = settings(epochs=3)
    run(params, "whole")
    reads, handler = [], signal.getsignal(sent)

    def interrupt(epoch, i):
        reads.append(i)
        if len(reads) == 6 * 16 + 3:  # in the seventh batch
            os.kill(os.getpid(), sent)

    with pytest.raises(
        UserError,
        match=r"^training of aurl seed 0 was interrupted after step 7 of 12 and saved: the same command goes on",
    ):
        run(params, clips=watched(data[0], interrupt))
    assert kept(tmp_path)[-1] == 7 and signal.getsignal(sent) is handler
    run(params)
    assert written() == written("whole")


def test_a_second_ctrl_c_is_obeyed(monkeypatch):
    with checkpoints.Interruption() as interruption:
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)  # the same keystroke, passed on by another process
        assert interruption.asked
        monkeypatch.setattr(interruption, "since", time.monotonic() - 3)
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(1)


# --- full disks ------------------------------------------------------------------------------------


@pytest.fixture
def full(monkeypatch):
    """From when it is called, no state can be written, as on a full disk, until it is called again."""
    write, state = Path.write_bytes, {"full": False}

    def failing(path, content):
        if state["full"] and ".state" in path.name:
            disk.full()
        return write(path, content)

    def toggle():
        state["full"] = not state["full"]

    monkeypatch.setattr(Path, "write_bytes", failing)
    return toggle


def test_a_full_disk_loses_nothing(run, written, data, tmp_path, capfd, full):
    params = settings(epochs=3, save_steps=1)
    run(params, "whole")
    seen = set()

    def fill(epoch, i):
        if epoch not in seen:
            seen.add(epoch)
            if epoch:
                full()  # full in the second epoch, free again in the third

    run(params, clips=watched(data[0], fill))
    said = capfd.readouterr().err
    assert written() == written("whole")
    assert said.count("No space left on device") == 4 and "The training goes on" in said


def test_a_folder_that_cannot_be_written_shows_before_the_first_step(run, data, full):
    full()
    reads = []
    with pytest.raises(UserError, match=r"state-\S* cannot be written \(No space left on device\): make room"):
        run(settings(), clips=watched(data[0], lambda *place: reads.append(place)))
    assert len(reads) == 0


# --- two at once -----------------------------------------------------------------------------------


def test_two_trainings_in_one_folder_refuse_each_other(run, data, tmp_path):
    begun, go_on = threading.Event(), threading.Event()

    def wait(*_):
        begun.set()
        go_on.wait(30)

    other = threading.Thread(target=lambda: run(settings(epochs=1), clips=watched(data[0], wait)))
    other.start()
    begun.wait(30)
    try:
        for params in (settings(epochs=1), settings(epochs=1, lr=1e-3)):  # the same training, and another one
            with pytest.raises(UserError, match=r"^another training of aurl seed 0 is at work in \S+/run: [^.]*\.$"):
                run(params)
    finally:
        go_on.set()
        other.join()
    assert run(settings(epochs=1))["epoch"].tolist() == [1]


def test_the_same_training_for_two_folders_is_done_once(run, data, written):
    begun, go_on, reads = threading.Event(), threading.Event(), []

    def wait(*_):
        begun.set()
        go_on.wait(30)

    one = threading.Thread(target=lambda: run(settings(epochs=1), clips=watched(data[0], wait)))
    clips = watched(data[0], lambda *place: reads.append(place))
    two = threading.Thread(target=lambda: run(settings(epochs=1), "two", clips=clips, scratch="run"))
    one.start()
    begun.wait(30)
    two.start()
    two.join(0.3)
    assert two.is_alive()
    go_on.set()
    one.join()
    two.join()
    assert written("two") == written() and not reads


# --- shared ----------------------------------------------------------------------------------------


def test_two_processes_give_the_loss_curve_of_one(run, data):
    """In steps this small, as a larger one may decide differently for a unit at zero, and then all is different."""
    changes = dict(epochs=20, steps=1, batch=64, optimizer="sgd", lr=2e-6, warmup_epochs=0, schedule="constant")
    changes["model"] = {"hidden": 32, "word_hidden": 32, "dim": 16}
    one, two = (run(settings(**changes, processes=count), f"{count}") for count in (1, 2))
    assert abs(one["total"] - two["total"]).max() < 1e-4
    assert one["total"].iloc[0] - one["total"].iloc[-1] > 0.1  # it does learn
    for term in ("semantic", "visual", "synthetic", "alignment", "uniformity"):
        np.testing.assert_allclose(two[term], one[term], atol=1e-4)
    assert two["grad_norm"].iloc[0] == pytest.approx(one["grad_norm"].iloc[0], rel=1e-5)
    np.testing.assert_allclose(two["grad_norm"], one["grad_norm"], rtol=1e-2)
    np.testing.assert_allclose(two["val_closeness"], one["val_closeness"], atol=1e-4)  # BatchNorm's running statistics


def test_two_processes_share_features(tmp_path):
    """Which have no backbone whose BatchNorm would be synchronized."""
    params, clips = settings(processes=2, epochs=2), (fixed(tmp_path, 16, 1, random=0), fixed(tmp_path, 4, 2))
    params.model = params.model.model_copy(update={"backbone": "features"})
    history = training.train(params, *clips, NAMES, WORDS, tmp_path / "run", tmp_path / "scratch")
    assert len(history) == 2 and history["total"].iloc[1] < history["total"].iloc[0]


class Apart(Clips):
    """In the second process they make sure that it sees no states, as on a machine with a folder of its own."""

    def facts(self):
        if os.environ.get("RANK") == "1":
            checkpoints.Progress.last_state = lambda self: None
        return super().facts()


def test_processes_that_do_not_see_the_same_states_do_not_go_on(run, data, tmp_path, monkeypatch):
    monkeypatch.setattr(processes, "RESTARTS", 0)
    params, apart = settings(epochs=2, processes=2), object.__new__(Apart)
    vars(apart).update(vars(data[0]))
    said = r"given up after 0 restarts: process 1 of 2 \(pid \d+\) was killed by SIGKILL\.$"
    with pytest.raises(UserError, match=said):  # a process that dies too often is named
        run(params, clips=Deadly(data[0], tmp_path, [1]))
    with pytest.raises(UserError, match="the processes do not see the same states: all machines must"):
        run(params, clips=apart)


def test_a_mistake_in_one_process_is_the_error_of_all(run, data):
    with pytest.raises(UserError, match=r"^train\.batch is 65 but there are only 64 training videos: lower it\.$"):
        run(settings(batch=65, processes=2))


def test_micro_batches_give_the_gradient_of_the_whole_batch(data, monkeypatch):
    """But for BatchNorm, which is in eval mode here. Dropout and synthetic classes are drawn as for the whole."""
    gradients = []
    for micro_batch in (None, 5, 3):
        params = settings(micro_batch=micro_batch, loss={"terms": ["semantic", "visual", "synthetic"]})
        run = training.Run(params, data[0], NAMES, WORDS)
        monkeypatch.setattr(run.model, "train", lambda mode=True, model=run.model: model)
        for part in run.model.children():
            part.eval()
        run.model.dropout.training = True
        order = training.Order(64, params.train, 0)
        items = [data[0].item(*place) for place in order.places(0)]
        batch = [torch.from_numpy(np.stack(values)) for values in zip(*items, strict=True)]
        means, _ = run.take_step(batch, order)
        gradients.append((means, {name: weight.grad for name, weight in run.model.named_parameters()}))
    (means, whole), *others = gradients
    for found, parts in others:
        for name, mean in means.items():
            assert found[name] == pytest.approx(mean, rel=1e-4), name
        for name, gradient in whole.items():
            assert torch.allclose(parts[name], gradient, rtol=1e-3, atol=1e-4 * gradient.abs().max()), name


@pytest.mark.parametrize("videos, batch, count", [(64, 16, 3), (50, 7, 2), (10, 10, 4), (23, 5, 1)])
def test_shares_are_disjoint_and_complete(videos, batch, count):
    train = settings(batch=batch, epochs=2).train
    whole = training.Order(videos, train, 0, rank=0, count=1)
    shares = [list(training.Order(videos, train, 0, rank=rank, count=count)) for rank in range(count)]
    for step, parts in enumerate(zip(*shares, strict=True)):
        assert [place for part in parts for place in part] == whole.places(step)
    epochs = [
        [place for step in list(whole)[e * whole.steps : (e + 1) * whole.steps] for place in step] for e in (0, 1)
    ]
    for epoch, places in enumerate(epochs):
        assert len(set(places)) == len(places) == whole.steps * batch and {now for now, _ in places} == {epoch}
        assert all(0 <= i < videos for _, i in places)
    assert [i for _, i in epochs[0]] != [i for _, i in epochs[1]]
    assert list(training.Order(videos, train, 0, first=1, rank=0, count=1)) == list(whole)[1:]  # where a run goes on


def test_features_are_the_same_however_many_processes_share_them(data):
    torch.manual_seed(0)
    params = settings()
    model = training.aurl.models.build(params.model, 4, 6)
    one = inference.encode(model, data[1], 3, params.compute)
    two = processes.run_in_processes(inference.encode, model, data[1], 3, params.compute, processes=2, name="encoding")
    np.testing.assert_allclose(two[0], one[0], atol=1e-6)
    np.testing.assert_array_equal(two[1], one[1])


# --- watched and optimized -------------------------------------------------------------------------


def test_curves_of_a_run_that_went_on_are_those_of_one_that_did_not(run, data, tmp_path):
    params = settings(epochs=3, save_steps=1, log_every=2)
    run(params, "whole", live=tmp_path / "live/whole")
    with pytest.raises(KeyboardInterrupt):
        run(params, clips=watched(data[0], stop_in(2)), live=tmp_path / "live/run")
    run(params, live=tmp_path / "live/run")
    found = {path.relative_to(tmp_path / "live/plots/run"): path for path in tmp_path.glob("live/plots/run/**/*.tsv")}
    names = {str(name.with_suffix("")).removeprefix("metrics/") for name in found}
    terms = ["total", "alignment", "uniformity", "semantic", "visual", "synthetic", "grad_norm", "lr"]
    assert names - {"train/clips_per_second"} == {f"train/{name}" for name in terms} | {
        f"val/{name}" for name in ("top1", "closeness", "dispersion")
    }
    for name, path in found.items():
        if "clips_per_second" not in str(name):
            assert path.read_text() == (tmp_path / "live/plots/whole" / name).read_text(), name
    steps = (tmp_path / "live/plots/run/metrics/train/total.tsv").read_text().split()[2::2]
    assert steps == ["2", "4", "6", "8", "10", "12"]


@pytest.mark.parametrize("schedule, reference", [
    ("cosine", lambda o: torch.optim.lr_scheduler.CosineAnnealingLR(o, 12)),
    ("steps", lambda o: torch.optim.lr_scheduler.MultiStepLR(o, [4, 8])),
    ("constant", lambda o: torch.optim.lr_scheduler.ConstantLR(o, 1.0)),
])  # fmt: skip
def test_schedules_are_those_of_torch(data, schedule, reference):
    params = settings(epochs=3, warmup_epochs=0, schedule=schedule, milestones=[1, 2], lr=0.5)
    run = training.Run(params, data[0], NAMES, WORDS)
    expected = reference(torch.optim.SGD([torch.nn.Parameter(torch.ones(1))], 0.5))
    for _ in range(12):
        assert run.schedule.get_last_lr()[0] == pytest.approx(expected.get_last_lr()[0])
        run.optimizer.step(), run.schedule.step()
        expected.optimizer.step(), expected.step()


@pytest.mark.parametrize("name, kind", [("sgd", "SGD"), ("adam", "Adam"), ("adamw", "AdamW")])
@pytest.mark.parametrize("decay_norms", [True, False])
def test_optimizers(data, name, kind, decay_norms):
    run = training.Run(settings(optimizer=name, decay_norms=decay_norms, weight_decay=0.1), data[0], NAMES, WORDS)
    assert type(run.optimizer).__name__ == kind
    names = {id(weight): name for name, weight in run.model.named_parameters()}
    decays = {names[id(w)]: group["weight_decay"] for group in run.optimizer.param_groups for w in group["params"]}
    assert decays.keys() == set(names.values())
    norms = {name for name, weight in run.model.named_parameters() if weight.ndim == 1}
    assert "backbone.stem.1.weight" in norms and "class_encoder.0.bias" in norms and "centers" not in norms
    assert {name for name, decay in decays.items() if decay == 0} == (set() if decay_norms else norms)
    assert all(decay in (0, 0.1) for decay in decays.values())


def test_a_moving_average_of_the_weights_is_judged_and_kept(run, tmp_path, monkeypatch):
    params = settings(epochs=1, ema=0.75)
    weights, take = [], training.Run.take_step

    def watching(self, *arguments):
        if not weights:
            weights.append(self.model.centers.detach().clone())
        found = take(self, *arguments)
        weights.append(self.model.centers.detach().clone())
        return found

    monkeypatch.setattr(training.Run, "take_step", watching)
    run(params)
    _, first, *later = weights
    expected = first  # the average begins with the weights after the first step
    for weight in later:
        expected = 0.75 * expected + 0.25 * weight
    assert torch.allclose(checkpoints.load(tmp_path / "run")[0].centers, expected, atol=1e-6)
    assert not torch.allclose(weights[-1], expected, atol=1e-4)
