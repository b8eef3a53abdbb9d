"""What the tests of training share."""

import multiprocessing

import pytest
from colored import FILES, NAMES, WORDS, settings, videos

from aurl.training import loop as training


@pytest.fixture(scope="module")
def data():
    """Clips to train on and to validate with."""
    return videos(16, 1, random=0), videos(4, 2)


@pytest.fixture
def run(data, tmp_path):
    def train(
        params=None, name="run", words=WORDS, clips=None, val=None, names=NAMES, scratch=None, start=None, **options
    ):
        return training.train(
            params or settings(),
            clips or data[0],
            val or data[1],
            names,
            words,
            tmp_path / name,
            tmp_path / f"scratch-{scratch or name}",
            start and tmp_path / start,
            **options,
        )

    return train


@pytest.fixture
def written(tmp_path):
    """The bytes of both files of a run."""
    return lambda name="run": [(tmp_path / name / file).read_bytes() for file in FILES]


@pytest.fixture(autouse=True)
def quick_start(monkeypatch):
    """Processes that train together do not each import the compiler, as torch does where it is to be deterministic."""
    preload = multiprocessing.set_forkserver_preload
    monkeypatch.setattr(multiprocessing, "set_forkserver_preload", lambda names: preload([*names, "torch._dynamo"]))
