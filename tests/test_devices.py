"""Threads, precision and memory layout: as the parameters say, or as a measurement that is kept decides."""

import json

import joblib
import pytest
import torch
from colored import MODEL, compute

from aurl import config, devices, models, paths

pytestmark = pytest.mark.usefixtures("one_thread")
CLIP = config.Clip(frames=2, stride=1, size=16, crop="squash")


@pytest.fixture(autouse=True)
def records(tmp_path, monkeypatch):
    monkeypatch.setattr(paths, "ARITHMETIC", tmp_path)
    return lambda: [json.loads(path.read_text()) for path in tmp_path.iterdir()]


def model(seed=0, **changes):
    torch.manual_seed(seed)
    return models.build(config.Model(**MODEL | changes), 4, 6)


def settle(precision="auto", channels_last="auto", network=None, clip=CLIP):
    asked = compute(precision).model_copy(update={"channels_last": channels_last})
    return devices.settle(network or model(), clip, 4, asked)


def test_threads_are_limited_to_the_parameter(one_thread):
    devices.limit_threads(compute("float32"))
    assert torch.get_num_threads() == 1
    devices.limit_threads(compute("float32").model_copy(update={"threads": 2}))
    assert torch.get_num_threads() == 2
    devices.limit_threads(compute("float32").model_copy(update={"threads": None}))
    assert torch.get_num_threads() == joblib.cpu_count()


@pytest.mark.parametrize("precision", ["float32", "bf16"])
@pytest.mark.parametrize("channels_last", ["always", "never"])
def test_what_the_parameters_say_is_not_measured(records, precision, channels_last):
    found = settle(precision, channels_last)
    assert found[1:] == (precision, channels_last == "always") and records() == []


@pytest.mark.parametrize("fastest", [0, 1, 2, 3])
def test_auto_takes_the_fastest_and_records_every_time(records, monkeypatch, fastest):
    monkeypatch.setattr(devices, "_precisions", lambda device: ["float32", "bf16"])
    monkeypatch.setattr(devices, "_measure", lambda *_: [0.1 if i == fastest else 0.3 for i in range(4)])
    found = settle()
    assert found[1:] == [("float32", False), ("float32", True), ("bf16", False), ("bf16", True)][fastest]
    (record,) = records()
    assert record["chosen"] == list(found[1:]) and sorted(record["seconds"].values()) == [0.1, 0.3, 0.3, 0.3]


def test_a_decision_is_kept_whatever_later_measurements_say(records, monkeypatch):
    monkeypatch.setattr(devices, "_precisions", lambda device: ["float32"])
    monkeypatch.setattr(devices, "_measure", lambda *_: [2.0, 1.0])
    first = settle()
    monkeypatch.setattr(devices, "_measure", lambda *_: [1.0, 2.0])
    assert settle() == first and first.channels_last
    assert settle(network=model(seed=1)) == first  # other weights, same shapes
    assert settle(network=model(width=8)) != first  # another network
    assert not settle(clip=CLIP.model_copy(update={"size": 32})).channels_last  # another clip
    assert len(records()) == 3


def test_a_run_beside_this_one_that_was_first_decides(monkeypatch):
    monkeypatch.setattr(devices, "_precisions", lambda device: ["float32"])

    def beaten(*_):
        monkeypatch.setattr(devices, "_measure", lambda *_: [1.0, 2.0])
        settle()  # the other run ends its measurement first
        return [2.0, 1.0]

    monkeypatch.setattr(devices, "_measure", beaten)
    assert not settle().channels_last


def test_measuring_times_every_option_and_leaves_no_trace():
    network = model()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    state = torch.get_rng_state()
    with torch.no_grad():  # as inside `encode`
        found = settle(network=network)
    assert found.precision in ("float32", "bf16")
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())
    assert all(weight.grad is None for weight in network.parameters())


def test_an_option_that_does_not_fit_in_memory_is_not_chosen(monkeypatch):
    def step(backbone, clips, option, repeats):
        return float("inf") if option.precision == "float32" else 1.0

    monkeypatch.setattr(devices, "_precisions", lambda device: ["float32", "bf16"])
    monkeypatch.setattr(devices, "_measure", lambda backbone, clip, batch, options: [step(0, 0, o, 1) for o in options])
    assert settle().precision == "bf16"


def test_emulated_bf16_is_no_candidate(monkeypatch):
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)
    assert devices._precisions(torch.device("cpu")) == ["float32"]


def test_facts_are_what_json_can_hold():
    facts = settle("bf16", "always").facts()
    assert json.loads(json.dumps(facts)) == {"device": "cpu", "precision": "bf16", "channels_last": True, "threads": 1}
