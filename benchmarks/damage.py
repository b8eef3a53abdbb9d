"""Test the check of prepare.damaged: how many intact and how many damaged videos it refuses.

    python benchmarks/damage.py      # about 4 minutes

writes reports/tables/damage.csv, with a row for each file, and damage.md. Intact files have 48 small moving frames in
every codec that PyAV encodes and a usual container has, with and without B-frames, open groups of pictures, edit lists,
uneven rates, audio, interlacing, joined and cut streams. 500 mutilated files are made from them: bytes of some packets
are overwritten at random or by zeros, packets are left out, or the file is cut. A picture is unlike the original if it
differs from every original picture by more than 3 of 255 gray levels on average.
"""

import argparse
import io
import random
import tempfile
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pandas as pd

from aurl.data.video.decoding import VideoError, decode
from aurl.project.files import write_bytes
from aurl.project.markdown import markdown_table
from aurl.project.progress import bar

TABLE = Path("reports/tables/damage.csv")
COUNT, FPS, SIZE, GROUP, MUTILATED, UNLIKE = 48, 10, (96, 80), 12, 500, 3
X264 = f"keyint={GROUP}:min-keyint={GROUP}:scenecut=0:"
VPX = {"deadline": "realtime", "cpu-used": "8"}


def _h264(parameters="bframes=2", **about):
    return ("libx264", {"x264-params": X264 + parameters}, about)


def _h265(parameters):
    return ("libx265", {"preset": "ultrafast", "x265-params": f"{X264}{parameters}:log-level=none"}, {})


KINDS = {  # file name -> encoder, its options, and what else is special
    "h264.mp4": _h264("bframes=0"),
    "h264-pyramid.mp4": _h264("bframes=3:b-pyramid=normal"),
    "h264-open.mp4": _h264("bframes=3:open-gop=1"),
    "h264-refresh.mkv": _h264("bframes=0:intra-refresh=1"),
    "h264-edit-list.mp4": _h264(shift=-5),
    "h264-late.mp4": _h264(shift=20, sound="aac"),
    "h264-later.mkv": _h264(shift=30),
    "h264-uneven.mp4": _h264(uneven=True),
    "h264-fragments.mp4": _h264(container={"movflags": "frag_keyframe+empty_moov"}),
    "h264-gray.mkv": _h264(pix_fmt="gray"),
    "h264-slices.mp4": _h264("slices=4"),
    "h264-no-cabac.mp4": _h264("cabac=0"),
    "h264.avi": _h264(),
    "h264.flv": _h264(sound="aac"),
    "h264-open.ts": _h264("bframes=3:open-gop=1"),
    "h264-interlaced.ts": _h264("interlaced=1"),
    "h264-joined.ts": _h264(joined=True),
    "h264-cut.ts": _h264("bframes=3:open-gop=1", cut=True),
    "hevc.mp4": _h265("bframes=0"),
    "hevc-open.mkv": _h265("bframes=3:open-gop=1"),
    "hevc-hash.ts": _h265("bframes=3:hash=1:crf=40"),  # checksums of pictures that the loop filter changes much
    "mpeg4.mp4": ("mpeg4", {}, {}),
    "mpeg4.ts": ("mpeg4", {}, {"bframes": 2}),
    "xvid.avi": ("mpeg4", {}, {"tag": "XVID"}),
    "xvid-b.avi": ("mpeg4", {}, {"tag": "XVID", "bframes": 2, "sound": "mp2"}),
    "mpeg1.mpg": ("mpeg1video", {}, {"fps": 25}),
    "mpeg2.mpg": ("mpeg2video", {}, {"fps": 25, "bframes": 2, "sound": "mp2"}),
    "mpeg2.ts": ("mpeg2video", {}, {"fps": 25, "bframes": 2}),
    "vp8.webm": ("libvpx", VPX | {"auto-alt-ref": "1", "lag-in-frames": "8"}, {}),
    "vp8-live.mkv": ("libvpx", VPX, {}),
    "vp9.webm": ("libvpx-vp9", VPX | {"auto-alt-ref": "1", "lag-in-frames": "8"}, {}),
    "vp9.mp4": ("libvpx-vp9", VPX, {}),
    "av1.mp4": ("libsvtav1", {"preset": "11", "svtav1-params": f"keyint={GROUP}"}, {}),
    "av1.mkv": ("libsvtav1", {"preset": "11", "svtav1-params": f"keyint={GROUP}"}, {}),
    "wmv1.wmv": ("wmv1", {}, {}),
    "wmv2.wmv": ("wmv2", {}, {}),
    "wmv2-later.wmv": ("wmv2", {}, {"shift": 30}),
    "msmpeg4v2.avi": ("msmpeg4v2", {}, {}),
    "msmpeg4v3.avi": ("msmpeg4", {}, {"tag": "DIV3"}),
    "flv1.flv": ("flv", {}, {}),
    "h263.mov": ("h263", {}, {"size": (128, 96)}),
    "svq1.mov": ("svq1", {}, {"pix_fmt": "yuv410p"}),
    "snow.avi": ("snow", {}, {}),
    "cinepak.avi": ("cinepak", {}, {"pix_fmt": "rgb24"}),
    "gif.gif": ("gif", {}, {"pix_fmt": "rgb8"}),
    "qtrle.mov": ("qtrle", {}, {"pix_fmt": "rgb24"}),
    "mjpeg.avi": ("mjpeg", {}, {"pix_fmt": "yuvj420p"}),
    "mjpeg.mov": ("mjpeg", {}, {"pix_fmt": "yuvj420p"}),
    "jpeg2000.mov": ("jpeg2000", {}, {}),
    "dv.avi": ("dvvideo", {}, {"fps": 25, "size": (720, 576), "count": 6}),
    "prores.mov": ("prores_ks", {}, {"pix_fmt": "yuv422p10le"}),
    "dnxhr.mov": ("dnxhd", {"profile": "dnxhr_lb"}, {"pix_fmt": "yuv422p", "size": (256, 128)}),
    "cfhd.mov": ("cfhd", {}, {"pix_fmt": "yuv422p10le", "size": (256, 128)}),
    "ffv1.mkv": ("ffv1", {}, {}),
    "ffv1-crc.mkv": ("ffv1", {"slices": "4", "slicecrc": "1", "level": "3"}, {}),
    "ffvhuff.avi": ("ffvhuff", {}, {}),
    "huffyuv.avi": ("huffyuv", {}, {"pix_fmt": "yuv422p"}),
    "utvideo.avi": ("utvideo", {}, {}),
    "magicyuv.avi": ("magicyuv", {}, {}),
    "png.mov": ("png", {}, {"pix_fmt": "rgb24"}),
    "rawvideo.avi": ("rawvideo", {}, {}),
}
FORMATS = {"mkv": "matroska", "ts": "mpegts", "mpg": "mpeg", "wmv": "asf"}  # elsewhere the suffix is the format
GROUPS = {  # rows of the table -> how the names of its files begin
    "H.264": ("h264",), "HEVC": ("hevc",), "MPEG-4": ("mpeg4", "xvid"), "MPEG-1 and 2": ("mpeg1", "mpeg2"),
    "VP8": ("vp8",), "VP9": ("vp9",), "AV1": ("av1",), "WMV and DivX 3": ("wmv", "msmpeg4"), "others": ("",),
}  # fmt: skip


def pictures(count, width, height):
    """``count`` frames (height, width, 3) uint8: a square moves over a texture that pans."""
    blocks = np.random.default_rng(0).integers(0, 256, (height // 4 + 40, width // 4 + 40, 3)).astype(float)
    ground = blocks.repeat(4, 0).repeat(4, 1)
    ground = (ground + np.roll(ground, 1, 0) + np.roll(ground, 1, 1) + np.roll(ground, (1, 1), (0, 1))) / 4
    for i in range(count):
        top, left = int(20 + 15 * np.sin(i / 5)), 1 + 2 * i
        frame = ground[top : top + height, left : left + width].astype(np.uint8)
        x, y = 3 * i % (width - 16), 2 * i % (height - 16)
        frame[y : y + 16, x : x + 16] = 250, 40 * (i % 5), 255 - 5 * i
        yield frame


def container_of(name):
    suffix = name.rpartition(".")[2]
    return FORMATS.get(suffix, suffix)


def encode(name):
    """The bytes of the intact file ``name``."""
    codec, options, about = KINDS[name]
    file, rng, fps = io.BytesIO(), random.Random(0), about.get("fps", FPS)
    ticks = 1000 if about.get("uneven") else fps
    settings = {"fflags": "+bitexact"} | about.get("container", {})
    with av.open(file, "w", format=container_of(name), container_options=settings) as output:
        sound = output.add_stream(about["sound"], 44100) if "sound" in about else None
        stream = output.add_stream(codec, ticks, options=options)
        stream.width, stream.height = size = about.get("size", SIZE)
        stream.pix_fmt, context = about.get("pix_fmt", "yuv420p"), stream.codec_context
        context.thread_count, context.gop_size, context.bit_rate = 1, GROUP, 400_000
        context.max_b_frames = about.get("bframes", 0)
        if "tag" in about:
            context.codec_tag = about["tag"]
        packets, time = [], 0
        for picture in pictures(about.get("count", COUNT), *size):
            frame = av.VideoFrame.from_ndarray(picture).reformat(format=stream.pix_fmt)
            frame.pts, frame.time_base = time, Fraction(1, ticks)
            packets += stream.encode(frame)
            time += rng.choice([30, 70, 100, 330]) if about.get("uneven") else 1
        packets += stream.encode(None)
        for packet in packets:
            packet.pts += about.get("shift", 0)
            packet.dts += about.get("shift", 0)
        if sound:
            packets += silence(sound, packets[-1].pts / ticks)
        for packet in sorted(packets, key=lambda packet: packet.dts * packet.time_base):
            output.mux(packet)
    content = file.getvalue()
    if about.get("cut"):
        content = content[188 * (len(content) // 188 // 5) :]  # begins within a group of pictures, as recordings do
    return content * 2 if about.get("joined") else content


def silence(stream, seconds):
    context, packets = stream.codec_context, []
    context.open()
    for time in range(0, int(seconds * 44100), context.frame_size):
        frame = av.AudioFrame(context.format.name, context.layout.name, context.frame_size)
        for plane in frame.planes:
            plane.update(bytes(plane.buffer_size))
        frame.sample_rate, frame.pts, frame.time_base = 44100, time, Fraction(1, 44100)
        packets += stream.encode(frame)
    return packets + stream.encode(None)


def overwritten(content, name, rng, zeros=False):
    """The file with a part of some packets replaced by random bytes, or by zeros."""
    with av.open(io.BytesIO(content)) as file:
        packets = [(packet.pos, packet.size) for packet in file.demux(video=0) if packet.size and packet.pos]
    found, place = bytearray(content), rng.randrange(len(packets))
    for begin, size in packets[place : place + rng.choice([1, 1, 3, 6])]:
        first = begin + rng.randrange(size)
        last = min(begin + size, first + rng.choice([8, 64, 512, size]))
        found[first:last] = bytes(last - first) if zeros else rng.randbytes(last - first)
    return bytes(found[: len(content)])


def zeroed(content, name, rng):
    return overwritten(content, name, rng, zeros=True)


def cut(content, name, rng):
    return content[: rng.randrange(len(content) // 4, len(content))]


def lost(content, name, rng):
    """The file written anew without some packets, so that its container does not list them."""
    file = io.BytesIO()
    with av.open(io.BytesIO(content)) as source, av.open(file, "w", format=container_of(name)) as target:
        stream = target.add_stream_from_template(source.streams.video[0])
        packets = [packet for packet in source.demux(video=0) if packet.size]
        count = rng.choice([1, 1, 3])
        place = rng.randrange(1, len(packets) - count)
        for packet in packets[:place] + packets[place + count :]:
            packet.stream = stream
            target.mux(packet)
    return file.getvalue()


def frames(path, damaged):
    """The F pictures of a file, each (H, W, 3) int16; None if it is refused."""
    try:
        return [frame.to_ndarray(format="rgb24").astype(np.int16) for _, frame in decode(path, damaged)]
    except VideoError:
        return None


def unlike(found, originals):
    """Whether any of the frames ``found`` differs from every original by more than `UNLIKE` gray levels on average."""
    shape = originals[0].shape
    gaps = (min(abs(frame - o).mean() for o in originals) if frame.shape == shape else 255 for frame in found)
    return any(gap > UNLIKE for gap in gaps)


def measure(count=MUTILATED, kinds=tuple(KINDS)):
    """A row for each file: its name, how it was mutilated ("" if intact), and its result with and without the check."""
    rows, clean, hows = [], {}, {"overwritten": overwritten, "zeros": zeroed, "cut": cut, "packets lost": lost}
    with tempfile.TemporaryDirectory() as folder, bar(total=len(kinds) + count, desc="damage", unit="file") as progress:
        path = Path(folder, "video")
        for name in kinds:
            path.write_bytes(encode(name))
            clean[name] = path.read_bytes(), frames(path, "keep")
            rows.append({"file": name, "how": "", "seed": 0, "refused": frames(path, "refuse") is None})
            progress.update()
        for seed in range(count):
            rng, name = random.Random(seed), kinds[seed % len(kinds)]
            how = list(hows)[seed // len(kinds) % len(hows)]
            content, originals = clean[name]
            try:
                path.write_bytes(hows[how](content, name, rng))
            except (av.FFmpegError, ValueError):  # the container cannot be written without these packets
                how = "cut"
                path.write_bytes(cut(content, name, rng))
            concealed, checked = frames(path, "keep"), frames(path, "refuse")
            row = {"file": name, "how": how, "seed": seed, "refused": checked is None}
            row["unlike_without_check"] = concealed is not None and unlike(concealed, originals)
            row["unlike"] = checked is not None and unlike(checked, originals)
            rows.append(row)
            progress.update()
    return pd.DataFrame(rows).fillna(False)


def summary(table):
    """Counts for each group of codecs and in all."""

    def group(name):
        return next(group for group, starts in GROUPS.items() if name.startswith(starts))

    def counts(rows):
        sound = rows["how"] == ""
        return pd.Series({
            "intact": sound.sum(), "rejected": rows.loc[sound, "refused"].sum(), "corrupted": (~sound).sum(),
            "rejected ": rows.loc[~sound, "refused"].sum(),
            "undetected": rows["unlike"].sum(),
            "undetected without the check": rows["unlike_without_check"].sum(),
        })  # fmt: skip

    found = table.groupby(table["file"].map(group)).apply(counts, include_groups=False).reindex(GROUPS).fillna(0)
    found.loc["**all**"] = found.sum()
    return found.astype(int).rename_axis("codec")


def markdown(table):
    found = summary(table).reset_index().astype(str)
    return markdown_table([name.strip() for name in found], found.values.tolist(), left=1)


def main():
    table = measure()
    write_bytes(TABLE, table.to_csv(index=False).encode())
    write_bytes(TABLE.with_suffix(".md"), markdown(table).encode())


if __name__ == "__main__":
    argparse.ArgumentParser(description=__doc__.splitlines()[0]).parse_args()
    main()
