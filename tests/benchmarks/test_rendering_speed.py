"""The speed of rendering, on tiny videos."""

from aurl.rendered import sets


def test_every_part_is_measured(benchmark, monkeypatch, in_process):
    videos = sets.videos
    monkeypatch.setattr(sets, "videos", lambda *given: videos(*given)[:2])
    row = benchmark("rendering").measure(16, frames=4)
    assert list(row) == ["size", "videos/s", "draw ms", "encode ms"]
    assert row["size"] == 16 and all(value > 0 for value in row.values())
