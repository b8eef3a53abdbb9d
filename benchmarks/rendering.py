"""The speed of rendering the built-in benchmark: videos per second, and the times of drawing and encoding.

    python benchmarks/rendering.py      # about half a minute on two cores

prints a row for each size of video: videos per second with one process per core, then milliseconds of one core to draw
and to encode a video. The remaining time reads each file back for its row of the manifest. The videos are the first of
every test class; drawing and encoding are timed on every seventh.
"""

import argparse
import os
import tempfile
import time

import pandas as pd

from aurl.data.video import write_video
from aurl.project import config
from aurl.rendered import rendering, sets


def measure(size, frames=24):
    """A row of the table, for videos of ``size`` x ``size`` pixels. Works in the current directory."""
    params = config.sections.Verbs(
        seed=0, fold=0, size=size, frames=frames, fps=12, videos=2, val_videos=1, test_videos=1
    )
    tests = sets.SETS[1:3]
    videos, draw, encode = sets.videos(params, tests)[::7], 0.0, 0.0
    for video in videos:
        begin = time.process_time()
        pictures = rendering.render(video, params.seed, size, frames)
        drawn = time.process_time()
        write_video("one.mp4", pictures, params.fps)
        draw, encode = draw + drawn - begin, encode + time.process_time() - drawn
    begin = time.perf_counter()
    count = len(rendering.build("videos", params, tests))
    rate = count / (time.perf_counter() - begin)
    return {
        "size": size,
        "videos/s": rate,
        "draw ms": 1000 * draw / len(videos),
        "encode ms": 1000 * encode / len(videos),
    }


def main():
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        table = pd.DataFrame([measure(size) for size in (32, 64)])
    print(f"{os.cpu_count()} cores", table.round(1).to_string(index=False), sep="\n")


if __name__ == "__main__":
    argparse.ArgumentParser(description=__doc__.splitlines()[0]).parse_args()
    main()
