"""The speed of rendering, on tiny videos."""

from aurl.rendered import verbs


def test_every_part_is_measured(benchmark, monkeypatch, in_process):
    videos = verbs.videos
    monkeypatch.setattr(verbs, "videos", lambda params: videos(params)[:2])
    row = benchmark("rendering").measure(16, frames=4)
    assert list(row) == ["size", "videos/s", "draw ms", "encode ms"]
    assert row["size"] == 16 and all(value > 0 for value in row.values())
