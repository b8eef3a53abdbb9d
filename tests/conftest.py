"""What several test modules share."""

import joblib
import pytest
import torch


def pytest_collection_modifyitems(items):
    """The files that run whole pipelines come first, so that no worker has one left when the others are done."""
    items.sort(key=lambda item: item.path.name not in ("test_pipeline.py", "test_paper.py"))


@pytest.fixture(scope="module")
def one_thread():
    """On a busy machine, threads that wait for each other take far longer than these small sums."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def in_process():
    """Parallel work of joblib, done here one after the other: starting processes would take longer."""
    with joblib.parallel_config(backend="sequential"):
        yield
