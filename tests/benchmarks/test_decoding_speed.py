"""The speed of decoding, on forty frames of one small kind of video."""

import sys
from pathlib import Path
from types import SimpleNamespace

import av
import numpy as np
import pandas as pd
from PIL import Image


class Capture:
    """The part of OpenCV's reader that the benchmark uses, made from PyAV: frames in BGR."""

    def __init__(self, path, *_):
        self._container = av.open(path)
        self._frames = self._container.decode(video=0)

    def read(self):
        frame = next(self._frames, None)
        return frame is not None, frame and frame.to_ndarray(format="bgr24")

    def release(self):
        self._container.close()


OPENCV = SimpleNamespace(
    CAP_FFMPEG=0,
    CAP_PROP_N_THREADS=0,
    COLOR_BGR2RGB=0,
    VideoCapture=Capture,
    cvtColor=lambda picture, _: np.ascontiguousarray(picture[..., ::-1]),
    resize=lambda picture, size: np.asarray(Image.fromarray(picture).resize(size, Image.Resampling.BILINEAR)),
    setNumThreads=lambda _: None,
)


def test_every_way_is_measured_on_the_same_frames(benchmark, monkeypatch):
    monkeypatch.setitem(sys.modules, "cv2", OPENCV)  # the real one is not a dependency
    decoding = benchmark("decoding")
    monkeypatch.setattr(decoding, "TOTAL", 40)
    monkeypatch.setattr(decoding, "CLIPS", 3)
    monkeypatch.setattr(decoding, "KINDS", {"small": ("mp4", "libx264", {"crf": "18", "g": "250"}, 192, 144)})
    decoding.main()
    table = pd.read_csv("reports/tables/decoding.csv")
    assert (
        set(table["way"]) - {"decord2", "torchcodec"} == set(list(decoding.WAYS)[:4]) and not table["frame_error"].any()
    )
    assert (table[["ms_per_clip", "kilobytes", "clips_per_second"]] > 0).all(axis=None)
    assert (table.loc[table["way"].isin(["proxy", "released"]), "seconds_to_make"] > 0).all()
    assert "proxy, aurl" in Path("reports/tables/decoding.md").read_text()
    assert Path("reports/figures/decoding.png").is_file()


def test_ratios_are_of_clips_per_second(benchmark):
    ways = ["released", "opencv", "original", "proxy"]
    rows = pd.DataFrame({"video": "v", "way": ways, "ms_per_clip": [40.0, 80.0, 20.0, 10.0]})
    table = benchmark("decoding").compared(rows).set_index("way")
    assert table.loc["proxy", ["times_released", "times_opencv", "times_original"]].tolist() == [4, 8, 2]
