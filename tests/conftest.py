"""What several test modules share."""

import joblib
import pytest
import torch


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
