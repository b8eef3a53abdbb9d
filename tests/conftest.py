"""What several test modules share."""

import os
import sys

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before PyTorch: the workers of the test run have no cores to spare
if os.environ.get("PYTEST_XDIST_WORKER", "gw0") != "gw0":
    os.nice(10)  # the first one has the longest file, which the others would wait for at the end

import joblib
import preloaded
import pytest

from aurl.project import paths

sys.modules["rfc3987_syntax"] = None  # as in `aurl.pipeline.notebook`
preloaded.install()


def pytest_collection_modifyitems(items):
    """Run the longest files first, so that no worker is left with one at the end."""
    first = [
        "pipeline", "survival", "paper", "chapters_on_features", "loop", "environment", "notebook", "slurm", "combine",
        "check", "backbones", "documents", "studies", "reproduce", "decoding", "killed_stages", "report", "accelerator",
    ]  # fmt: skip
    items.sort(key=lambda item: [*first, item.path.stem[5:]].index(item.path.stem[5:]))


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """One thread for torch: on a busy machine, threads that wait for each other take longer than these small sums."""
    import torch  # not for the process that only hands out tests

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(autouse=True)
def no_lasting_records(tmp_path, monkeypatch):
    """What `auto` measures in a test stays there."""
    monkeypatch.setattr(paths, "ARITHMETIC", tmp_path / "arithmetic")


@pytest.fixture(autouse=True)
def no_lasting_settings():
    """Training asks torch for deterministic algorithms; other tests must not notice."""
    import torch

    yield
    torch.use_deterministic_algorithms(False)
    torch.utils.deterministic.fill_uninitialized_memory = True


@pytest.fixture
def in_process():
    """Run joblib's parallel work in this process, as starting others would take longer."""
    with joblib.parallel_config(backend="sequential"):
        yield
