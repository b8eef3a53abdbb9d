"""Threads, precision and memory layout: as the parameters say, or as a measurement that is kept decides."""

import json
import platform
import resource
import time
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import joblib
import pytest
import torch
from colored import MODEL, compute
from forked import forked
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from aurl import UserError, models
from aurl.project import config, paths
from aurl.training import devices, processes
from aurl.training.devices import Arithmetic
from aurl.training.inference import to_device
from aurl.training.loop import Objective

OPTIONS = [(precision, layout, False) for precision in ("bf16", "float32") for layout in (True, False)]
CLIP = config.Clip(frames=2, segments=1, stride=1, size=16, crop="squash")


@pytest.fixture
def records():
    return lambda: [json.loads(path.read_text()) for path in paths.ARITHMETIC.glob("*.json")]


def model(seed=0, **changes):
    torch.manual_seed(seed)
    return models.build(config.Model(**MODEL | changes), 4, 6)


def choose(precision="auto", channels_last="auto", network=None, clip=CLIP):
    asked = compute(precision).model_copy(update={"channels_last": channels_last})
    return devices.choose_arithmetic(network or model(), clip, 4, asked)


def test_threads_are_limited_to_the_parameter():
    devices.limit_threads(compute("float32"))
    assert torch.get_num_threads() == 1
    devices.limit_threads(compute("float32").model_copy(update={"threads": 2}))
    assert torch.get_num_threads() == 2
    devices.limit_threads(compute("float32").model_copy(update={"threads": None}))
    assert torch.get_num_threads() == joblib.cpu_count()


@pytest.mark.parametrize("precision", ["float32", "bf16"])
@pytest.mark.parametrize("channels_last", ["always", "never"])
def test_what_the_parameters_say_is_not_measured(records, precision, channels_last):
    found = choose(precision, channels_last)
    assert found[1:] == (precision, channels_last == "always", False) and records() == []


@pytest.mark.parametrize("fastest", [0, 1, 2, 3])
def test_auto_takes_the_fastest_and_records_every_time(records, monkeypatch, fastest):
    monkeypatch.setattr(devices, "_precisions", lambda device: ["bf16", "float32"])
    monkeypatch.setattr(devices, "_measure", lambda *_: [0.1 if i == fastest else 0.3 for i in range(4)])
    found = choose()
    assert found[1:] == OPTIONS[fastest]
    (record,) = records()
    assert record["chosen"] == list(found[1:]) and sorted(record["seconds"].values()) == [0.1, 0.3, 0.3, 0.3]


@pytest.mark.parametrize(("seconds", "chosen"), [((1.05, 1.0), True), ((1.0, 1.05), True), ((1.2, 1.0), False)])
def test_noise_does_not_decide(monkeypatch, seconds, chosen):
    monkeypatch.setattr(devices, "_precisions", lambda device: ["float32"])
    monkeypatch.setattr(devices, "_measure", lambda *_: list(seconds))
    assert choose().channels_last == chosen


def test_a_decision_is_kept_whatever_later_measurements_say(records, monkeypatch):
    monkeypatch.setattr(devices, "_precisions", lambda device: ["float32"])
    monkeypatch.setattr(devices, "_measure", lambda *_: [2.0, 1.0])
    first = choose()
    monkeypatch.setattr(devices, "_measure", lambda *_: [1.0, 2.0])
    assert choose() == first and not first.channels_last
    assert choose(network=model(seed=1)) == first  # other weights, same shapes
    assert choose(network=model(width=8)) != first  # another network
    assert choose(clip=CLIP.model_copy(update={"size": 32})).channels_last  # another clip
    assert choose(clip=CLIP.model_copy(update={"frames": 4})).channels_last
    assert len(records()) == 4


@pytest.mark.parametrize("content", ["", "[1]", '{"chosen": 3}', '{"chosen": ["bf8", true, false]}', "{}"])
def test_a_damaged_record_is_measured_again(records, monkeypatch, content):
    monkeypatch.setattr(devices, "_precisions", lambda device: ["bf16", "float32"])
    monkeypatch.setattr(devices, "_measure", lambda *_: [0.3, 0.3, 0.1, 0.3])
    first = choose()
    (path,), (whole,) = paths.ARITHMETIC.glob("*.json"), records()
    path.write_text(content)
    assert choose() == first and records() == [whole]


def test_runs_side_by_side_measure_once(monkeypatch):
    measured = []

    def slow(*_):
        measured.append(1)
        time.sleep(0.2)
        return [2.0, 1.0]

    monkeypatch.setattr(devices, "_precisions", lambda device: ["float32"])
    monkeypatch.setattr(devices, "_measure", slow)
    with ThreadPoolExecutor(3) as pool:
        found = [run.result() for run in [pool.submit(choose) for _ in range(3)]]
    assert len(measured) == 1 and len(set(found)) == 1


def test_measuring_times_every_option_and_leaves_no_trace():
    network = model()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    state = torch.get_rng_state()
    with torch.no_grad():  # as inside `encode`
        found = choose(network=network)
    assert found.precision in ("float32", "bf16")
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())
    assert all(weight.grad is None for weight in network.parameters())


@pytest.mark.parametrize("fitting", ["bf16", "float32", None])
def test_an_option_that_does_not_fit_in_memory_is_not_chosen(records, monkeypatch, fitting):
    network = model()
    forward = type(network.backbone).forward

    def short(self, clips):
        if fitting != ("bf16" if torch.is_autocast_enabled("cpu") else "float32"):
            raise torch.OutOfMemoryError
        return forward(self, clips)

    monkeypatch.setattr(devices, "_precisions", lambda device: ["bf16", "float32"])
    monkeypatch.setattr(type(network.backbone), "forward", short)
    chosen = choose(network=network)
    assert chosen.precision == (fitting or "float32") and len(records()) == bool(fitting)


def test_what_does_not_fit_in_memory_is_said():
    said = r"^the memory of .+ is too small: set evaluate\.batch to fewer videos at a time\.$"
    with pytest.raises(UserError, match=said), devices.explain_out_of_memory("evaluate.batch"):
        raise torch.OutOfMemoryError


def test_compiling_is_tried_only_on_an_accelerator_unless_asked_for(monkeypatch):
    tried = []
    monkeypatch.setattr(devices, "_precisions", lambda device: ["float32"])
    monkeypatch.setattr(devices, "_time", lambda backbone, clips, option, repeats: tried.append(option) or 1.0)
    assert not choose().compiled and not any(option.compiled for option in tried)
    asked = compute("float32").model_copy(update={"compile": "always"})
    assert devices.choose_arithmetic(model(), CLIP, 4, asked).compiled and tried[-1].compiled


def test_a_compiler_that_fails_is_said(monkeypatch):
    def broken(self, *_):
        raise RuntimeError("no C++ compiler")

    monkeypatch.setattr(torch.nn.Module, "compile", broken)
    asked = compute("float32").model_copy(update={"compile": "always"})
    with pytest.raises(UserError, match=r"^torch\.compile does not work here: set compute\.compile to never\.$"):
        devices.choose_arithmetic(model(), CLIP, 4, asked)


def test_emulated_bf16_is_no_candidate(monkeypatch):
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)
    assert devices._precisions(torch.device("cpu")) == ["float32"]


def test_memory_is_kept_from_step_to_step():
    def faults():
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        torch.ones(2**24)
        return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

    def fewest():
        torch.set_num_threads(1)  # a fork has no others
        devices.keep_memory()
        found = min(faults() for _ in range(16))  # not the first ones: small blocks may come to lie between
        assert platform.libc_ver()[0] != "glibc" or found < 1000, found  # 64 MiB anew are 16384 pages

    status, said = forked(fewest)
    assert status == 0, said


def test_a_model_of_features_has_nothing_to_measure(records):
    network = models.build(config.Model(**MODEL), 4, 6, features=5)
    assert choose(network=network, clip=None)[1:] == ("float32", False, False)
    assert choose("bf16", network=network, clip=None)[1:] == ("bf16", False, False)
    assert records() == []


# --- Apple's GPU, which no test has --------------------------------------------------------------------


class OnApple:
    """As much of a model on Apple's GPU as `choose_arithmetic` asks for."""

    backbone = model().backbone

    def parameters(self):
        return iter([SimpleNamespace(device=torch.device("mps"))])


@pytest.mark.parametrize(
    ("cuda", "mps", "best"), [(True, True, "cuda"), (True, False, "cuda"), (False, True, "mps"), (False, False, "cpu")]
)
def test_the_best_device(monkeypatch, cuda, mps, best):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)
    assert devices.best_device().type == best


def test_apple_computes_in_float32_and_measures_nothing(records):
    found = choose(network=OnApple())
    assert (found.device.type, *found[1:]) == ("mps", "float32", False, False) and records() == []
    assert found.facts()["threads"] is None and "Apple" in devices.processor(found.device)


def test_apple_refuses_bf16():
    with pytest.raises(UserError, match=r"^compute\.precision bf16 is not for Apple's GPU \(mps\): set it to float32"):
        choose("bf16", network=OnApple())


def test_apple_serves_one_process(monkeypatch):
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    said = r"^this is to have 2 processes, but Apple's GPU \(mps\) serves one: ask for one\.$"
    with pytest.raises(UserError, match=said):
        processes.run_in_processes(min, 1, 2, processes=2)
    assert processes.run_in_processes(min, 1, 2) == 1


class Doubles(TorchDispatchMode):
    """Notes the shapes of all results in float64, which Apple's GPU does not have."""

    def __init__(self):
        super().__init__()
        self.shapes = set()

    def __torch_dispatch__(self, function, types, arguments=(), named=None):
        found = function(*arguments, **(named or {}))
        doubles = [x for x in tree_leaves(found) if isinstance(x, torch.Tensor) and x.dtype == torch.float64]
        self.shapes |= {tuple(x.shape) for x in doubles}
        return found


@pytest.mark.parametrize("mode", ["released", "both"])
def test_a_training_step_has_no_float64_but_the_weights_of_the_generator(mode):
    """These are drawn on the processor and become float32 on their way to the device."""
    params = config.load("params.yaml").replace(
        model=MODEL, generator={"mode": mode}, loss={"terms": ["semantic", "visual", "synthetic", "ranking", "center"]}
    )
    objective = Objective(model(), params)
    video = torch.zeros(2, 1, 2, 16, 16, 3, dtype=torch.uint8)
    with Doubles() as doubles:
        inputs = to_device(
            video, torch.ones(2, 1, dtype=torch.bool), Arithmetic(torch.device("cpu"), "float32", False, False)
        )
        total, _ = objective(inputs, torch.tensor([0, 3]), torch.ones(4, 6), torch.Generator())
        total.backward()
    assert doubles.shapes <= {(), (4, 1), (4,)} and (mode == "released" or doubles.shapes)
