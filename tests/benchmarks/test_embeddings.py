"""The script that embeds the embedded benchmark's class names, with an encoder that needs no package."""

import numpy as np
from project import ROOT

from aurl import text


def test_the_file_has_the_committed_names_and_the_same_bytes_every_time(benchmark, tmp_path, monkeypatch):
    embeddings = benchmark("embeddings")
    monkeypatch.setattr("aurl.text.encoders.sentence", lambda texts: np.array([[len(one), 1] for one in texts]))
    for name in ("a.npz", "b.npz"):
        embeddings.main(tmp_path / name)
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()
    committed = text.Embeddings(ROOT / "data/embeddings/all-minilm-l6-v2.npz")
    found = text.Embeddings(tmp_path / "a.npz")
    assert found.names == committed.names and found.encoder == committed.encoder
    length = len("an arch is bouncing")
    expected = np.array([length, 1]) / np.hypot(length, 1)
    np.testing.assert_allclose(found.embed(["bouncing arch"])[0], expected, atol=1e-3)
