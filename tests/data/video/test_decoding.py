"""Reading gives exactly the frames that were asked for, from files of many kinds whose frames carry their number."""

import importlib.util
import io
import random
import struct
from fractions import Fraction
from types import SimpleNamespace

import av
import numpy as np
import pytest
import trees
from av.sidedata.sidedata import Type
from PIL import Image

from aurl.data import video
from aurl.data.video import decoding

COUNT = 40
X264 = "keyint=9:min-keyint=9:scenecut=0:b-adapt=0:bframes=3:"
VP9 = {"deadline": "realtime", "cpu-used": "8", "lag-in-frames": "8", "auto-alt-ref": "1"}


def numbered(number, height=48, width=64):
    """(height, width, 3): a number below 256 as eight blocks, bright for the ones among its bits."""
    bits = np.array([number >> bit & 1 for bit in range(8)], np.uint8).reshape(2, 4)
    rows, columns = (np.arange(side) * blocks // side for side, blocks in ((height, 2), (width, 4)))
    return np.repeat(40 + 170 * bits[rows][:, columns, None], 3, axis=2)


def numbers(pictures):
    """The numbers that (N, 16, 16, 3) pictures carry."""
    blocks = pictures.reshape(-1, 2, 8, 4, 4, 3)[:, :, 2:6, :, 1:3].mean((2, 4, 5)).reshape(-1, 8)
    return ((blocks > 125) @ (1 << np.arange(8))).tolist()


def encode(
    path,
    codec,
    options=(),
    bframes=0,
    pix_fmt="yuv420p",
    times=None,
    shift=0,
    live=False,
    container=(),
    size=(64, 48),
    sound=False,
):
    """A file of COUNT numbered frames at 25 per second, or at the ``times`` in milliseconds, ``shift`` frames later."""
    file = SimpleNamespace(write=(written := io.BytesIO()).write) if live else io.BytesIO()  # the first cannot go back
    formats = {".mp4": "mp4", ".mkv": "matroska", ".webm": "webm", ".avi": "avi", ".ts": "mpegts", ".wmv": "asf"}
    with av.open(file, "w", format=formats[path.suffix], container_options=dict(container)) as output:
        if sound:
            output.add_stream("aac", 8000)
        stream = output.add_stream(codec, 1000 if times else 25)
        (stream.width, stream.height), stream.pix_fmt, stream.options = size, pix_fmt, dict(options)
        stream.codec_context.thread_count, stream.codec_context.gop_size = 1, 9
        stream.codec_context.max_b_frames = bframes
        packets = []
        for i in range(COUNT):
            frame = av.VideoFrame.from_ndarray(numbered(i, *size[::-1])).reformat(format=pix_fmt)
            frame.pts, frame.time_base = times[i] if times else i, Fraction(1, 1000 if times else 25)
            packets += stream.encode(frame)
        for packet in packets + stream.encode(None):
            packet.pts += shift
            packet.dts += shift
            output.mux(packet)
    path.write_bytes(written.getvalue() if live else file.getvalue())


rng = random.Random(0)
UNEVEN = np.cumsum([0] + [rng.choice([10, 33, 40, 170]) for _ in range(COUNT)]).tolist()
TRUSTED = {  # file -> how it is encoded; read without decoding what comes before
    "h264.mp4": dict(codec="libx264", options={"x264-params": X264 + "b-pyramid=normal"}),
    "h264-open-groups.mp4": dict(codec="libx264", options={"x264-params": X264 + "open-gop=1"}),
    "h264-late-start.mp4": dict(codec="libx264", options={"x264-params": X264}, shift=30),
    "h264-uneven.mp4": dict(codec="libx264", options={"x264-params": X264}, times=UNEVEN),
    "h264-all-keys.mp4": dict(codec="libx264", options={"x264-params": "keyint=1"}),
    "h264-dense-keys.mp4": dict(codec="libx264", options={"x264-params": X264.replace("=9", "=2") + "open-gop=1"}),
    "h264-fragments.mp4": dict(
        codec="libx264", options={"x264-params": X264}, container={"movflags": "frag_keyframe+empty_moov"}
    ),
    "h264-live.mkv": dict(codec="libx264", options={"x264-params": X264 + "open-gop=1"}, live=True),
    "h264-sound.mkv": dict(codec="libx264", options={"x264-params": X264}, sound=True),
    "h264.ts": dict(codec="libx264", options={"x264-params": X264 + "open-gop=1"}),
    "vp9.webm": dict(codec="libvpx-vp9", options=VP9),
    "vp9-live.webm": dict(codec="libvpx-vp9", options=VP9, live=True),
    "h264-odd.mp4": dict(codec="libx264", options={"x264-params": X264}, pix_fmt="yuv444p", size=(61, 47)),
    "h264-ten-bits.mp4": dict(codec="libx264", options={"x264-params": X264}, pix_fmt="yuv420p10le"),
    "hevc.mkv": dict(
        codec="libx265", options={"preset": "ultrafast", "x265-params": X264 + "open-gop=1:log-level=none"}
    ),
    "av1.mp4": dict(codec="libsvtav1", options={"preset": "11", "svtav1-params": "keyint=9"}),
    "mjpeg.avi": dict(codec="mjpeg", pix_fmt="yuvj420p"),
}
COUNTED = {  # the same once the number of frames is known
    "asp.avi": dict(codec="mpeg4", bframes=2),
    "simple.avi": dict(codec="mpeg4"),
    "asp.mp4": dict(codec="mpeg4", bframes=2),
    "asp-live.mkv": dict(codec="mpeg4", bframes=2, live=True),
    "vp8.webm": dict(codec="libvpx", options=VP9),
}
OTHERS = {  # decoded from the beginning if necessary
    "h264-cut.mp4": dict(codec="libx264", options={"x264-params": X264}, shift=-5),  # by an edit list, within a group
    "h264.avi": dict(codec="libx264", options={"x264-params": X264}),  # has no timestamps: FFmpeg guesses wrong ones
    "h264-no-keys.mkv": dict(codec="libx264", options={"x264-params": X264 + "bframes=0:intra-refresh=1"}),
}
KINDS = TRUSTED | COUNTED | OTHERS


@pytest.fixture(scope="module")
def movie(tmp_path_factory):
    folder = tmp_path_factory.mktemp("movies")

    def make(name):
        path = folder / name
        if not path.exists():
            encode(path, **KINDS[name])
        return path

    return make


def small(frame):
    return frame.reformat(16, 16, "rgb24", threads=1).to_ndarray()


def everything(path, *damaged):
    return np.stack([small(frame) for _, frame in decoding.decode(path, *damaged)])


@pytest.fixture
def only_seeking(monkeypatch):
    def never(path, *damaged, **options):
        raise AssertionError(f"{path.name} is decoded from its beginning")

    monkeypatch.setattr(decoding, "decode", never)


@pytest.mark.parametrize("name", KINDS)
def test_every_start_and_stride_gives_the_frames_of_a_full_decode(movie, name):
    path = movie(name)
    full = everything(path)
    cut = 5 if name == "h264-cut.mp4" else 0
    assert numbers(full) == list(range(cut, COUNT))
    for start in range(0, len(full), 2):  # every place in a group of nine
        # With and without their number, a file's packets lead to the same seeks, or else to none.
        for stride, count in ((1, None), (1, len(full)), (11, len(full))):
            chosen = np.arange(start, len(full), stride)[:3]
            found = decoding.pick(path, chosen, small, count)
            assert list(found) == chosen.tolist()
            np.testing.assert_array_equal(list(found.values()), full[chosen])
    assert decoding.frame_count(path) == len(full)


@pytest.mark.parametrize("name", TRUSTED | COUNTED)
def test_what_comes_before_is_not_decoded(movie, name, only_seeking):
    path = movie(name)
    for chosen in ([COUNT - 1], [0, 20, 21], [8, 9, 17, 18, 39]):
        for count in (None, COUNT) if name in TRUSTED else (COUNT,):
            found = decoding.pick(path, np.array(chosen), small, count)
            assert numbers(np.stack(list(found.values()))) == list(found) == chosen


@pytest.mark.parametrize("name", COUNTED | OTHERS)
def test_doubtful_files_are_decoded_from_the_beginning(movie, name, only_seeking):
    with pytest.raises(AssertionError, match="from its beginning"):
        chosen = np.array([7 if "cut" not in name else 1])
        decoding.pick(movie(name), chosen, small, COUNT + 1 if name in COUNTED else None)
        decoding.pick(movie(name), np.array([11]), small)


def test_damage_elsewhere_does_not_matter(movie, tmp_path):
    """Of the groups of pictures that are not needed, only what marks their keyframes has to be whole."""
    source = movie("h264.mp4")
    content = bytearray(source.read_bytes())
    with av.open(str(source)) as container:
        for i, packet in enumerate(container.demux(video=0)):
            if packet.size and not 9 <= i < 18 and not packet.is_keyframe:
                content[packet.pos : packet.pos + packet.size] = b"\xff" * packet.size
    path = tmp_path / "a.mp4"
    path.write_bytes(content)
    found = decoding.pick(path, np.arange(9, 18), small)
    np.testing.assert_array_equal(list(found.values()), everything(source)[9:18])
    with pytest.raises(decoding.VideoError):
        decoding.pick(path, np.arange(9, 20), small)


@pytest.mark.parametrize("name", ["vp9.webm", "h264-live.mkv"])
def test_a_frame_with_the_time_of_another_group(movie, tmp_path, name):
    """Frames between the two times would have other numbers by their timestamps than in the order of decoding."""
    path = tmp_path / name
    with av.open(str(movie(name))) as source, av.open(str(path), "w") as target:
        stream = target.add_stream_from_template(source.streams.video[0])
        for i, packet in enumerate(source.demux(video=0)):
            if packet.size:
                packet.stream = stream
                packet.pts += 1013 if i == 3 else 0  # milliseconds
                target.mux(packet)
    full = everything(path)
    for i in range(len(full)):
        np.testing.assert_array_equal(decoding.pick(path, np.array([i]), small, len(full))[i], full[i])


def test_packed_bframes(tmp_path):
    """DivX put a P and a B frame into one packet of an AVI file, followed by an empty packet."""
    encode(tmp_path / "plain.avi", "mpeg4", bframes=1)
    with av.open(str(tmp_path / "plain.avi")) as container:
        frames = [bytes(packet) for packet in container.demux(video=0) if packet.size]
    kinds = ["IPB"[frame[frame.index(VOP) + 4] >> 6] for frame in frames]
    packets = []
    for kind, frame in zip(kinds, frames, strict=True):
        if kind == "B":
            packets[-1:] = [packets[-1] + frame, nothing(packets[-1])]
        else:
            packets.append(frame)
    with av.open(str(tmp_path / "a.avi"), "w") as output:
        stream = output.add_stream("mpeg4", 25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        # Decoders look for packed frames only after this mark.
        marked = packets[0].replace(VOP, b"\0\0\1\xb2DivX503b1393p\0" + VOP)
        for i, data in enumerate([marked, *packets[1:]]):
            packet = av.Packet(data)
            packet.pts = packet.dts = i
            packet.time_base, packet.stream, packet.is_keyframe = Fraction(1, 25), stream, kinds[i] == "I"
            output.mux(packet)
    full = everything(tmp_path / "a.avi")
    assert numbers(full) == list(range(COUNT)) and len(packets) == COUNT
    for i in range(COUNT):
        for count in (None, COUNT):
            np.testing.assert_array_equal(decoding.pick(tmp_path / "a.avi", np.array([i]), small, count)[i], full[i])


VOP = b"\0\0\1\xb6"  # begins a frame of MPEG-4


def nothing(frame):
    """The packet that says "as before" at the time of an MPEG-4 ``frame``, whose clock has 25 ticks per second."""
    head = frame[frame.index(VOP) + 4 :]
    bits = "".join(f"{byte:08b}" for byte in head[:8])
    ticks = bits.index("0", 2) + 2  # after the type, the seconds in unary, and a marker
    bits = bits[: ticks + 6] + "0" + "0"  # the ticks, a marker, "not coded"; then a zero and ones up to a whole byte
    return VOP + int(bits.ljust(-(-len(bits) // 8) * 8, "1"), 2).to_bytes(-(-len(bits) // 8), "big")


def test_sizes_may_change(tmp_path):
    """Each frame of a Motion JPEG file has a size of its own."""
    with av.open(str(tmp_path / "a.avi"), "w") as output:
        stream = output.add_stream("mjpeg", 25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuvj420p"
        for i in range(12):
            encoder = av.CodecContext.create("mjpeg", "w")
            encoder.width, encoder.height = size = (64, 48) if i < 6 else (32, 96)
            encoder.pix_fmt, encoder.time_base = "yuvj420p", Fraction(1, 25)
            frame = av.VideoFrame.from_ndarray(numbered(i, *size[::-1])).reformat(format="yuvj420p")
            for packet in encoder.encode(frame):
                packet.pts = packet.dts = i
                packet.time_base, packet.stream = Fraction(1, 25), stream
                output.mux(packet)
    full = everything(tmp_path / "a.avi")
    assert numbers(full) == list(range(12))
    found = decoding.pick(tmp_path / "a.avi", np.array([2, 5, 6, 9]), small, 12)
    np.testing.assert_array_equal(list(found.values()), full[list(found)])
    assert video.read_frames(tmp_path / "a.avi").shape == (12, 48, 64, 3)
    clips = video.read_clips(tmp_path / "a.avi", 12, 1, 1, 16, crop=True)
    assert clips.shape == (1, 12, 16, 16, 3)


def test_a_missing_frame(movie):
    for name in ("h264.mp4", "asp.avi"):
        reason = "has 40 frames but frame 40 is asked for.*prepare the data again"
        with pytest.raises(decoding.VideoError, match=reason):
            decoding.pick(movie(name), np.array([3, COUNT]), small)


@pytest.mark.parametrize(
    "sides, reason", [((17000, 16), "17000x16 pixels are too large"), ((16000, 16000), "it cannot be decoded")]
)
def test_absurd_sizes_are_refused(tmp_path, sides, reason):
    """A damaged header gives them, and no memory is reserved for them."""
    encode(tmp_path / "a.avi", "ffv1")  # which takes its size from the container
    content = bytearray((tmp_path / "a.avi").read_bytes())
    place = content.index(b"strf") + 12
    assert struct.unpack_from("<2i", content, place) == (64, 48)
    struct.pack_into("<2i", content, place, *sides)
    (tmp_path / "a.avi").write_bytes(content)
    for read in (everything, decoding.frame_count, lambda path: decoding.pick(path, np.array([0]), small)):
        with pytest.raises(decoding.VideoError, match=reason):
            read(tmp_path / "a.avi")


def damaged(source, target, chosen):
    """A copy in which the second halves of some packets are noise."""
    content, noise = bytearray(source.read_bytes()), random.Random(0)
    with av.open(str(source)) as container:
        packets = [(packet.pos, packet.size) for packet in container.demux(video=0) if packet.size]
    for begin, size in packets[chosen]:
        content[begin + size // 2 : begin + size] = noise.randbytes(size - size // 2)
    target.write_bytes(content)


@pytest.mark.parametrize(
    "name, chosen", [("h264.mp4", slice(9, 10)), ("simple.avi", slice(20, 26)), ("vp9.webm", slice(20, 23))]
)
def test_damage_is_refused_unless_it_is_to_be_kept(movie, tmp_path, name, chosen):
    """FFmpeg itself conceals it, and the file was taken with other pictures than were recorded."""
    path = tmp_path / name
    damaged(movie(name), path, chosen)
    found = video.probe(path)
    assert found["frames"] == 0 and found["status"].startswith("it cannot be decoded after frame ")
    with pytest.raises(decoding.VideoError, match=r"after frame \d+, at \d\.\d\d s"):
        video.read_frames(path)
    kept = video.probe(path, "keep")
    assert kept["status"] == "ok" and kept["damage"] == found["status"] and kept["frames"] >= COUNT - 3
    concealed = everything(path, "keep")
    for index in range(0, len(concealed), 3):
        found = decoding.pick(path, np.array([index]), small, kept["frames"])[index]
        np.testing.assert_array_equal(found, concealed[index])


def test_a_second_decoder_notices_damaged_rows_of_hevc(tmp_path):
    """One thread reads noise in the middle of a packet as other pictures, without an error."""
    squares = np.random.default_rng(0).integers(0, 256, (12, 8, 8, 3), np.uint8).repeat(16, 1).repeat(16, 2)
    with av.open(str(tmp_path / "sound.mkv"), "w") as output:
        stream = output.add_stream("libx265", rate=25)
        stream.width = stream.height = 128
        stream.options = {"preset": "ultrafast", "x265-params": "keyint=4:ctu=16:bframes=0:log-level=none"}
        for picture in [*squares, None]:
            frame = None if picture is None else av.VideoFrame.from_ndarray(picture)
            output.mux(stream.encode(frame))
    assert video.probe(tmp_path / "sound.mkv")["status"] == "ok"
    with av.open(str(tmp_path / "sound.mkv")) as container:
        packets = [(packet.pos, packet.size) for packet in container.demux(video=0) if packet.size]
    content = bytearray((tmp_path / "sound.mkv").read_bytes())
    middle = packets[5][0] + packets[5][1] // 2
    content[middle : middle + 16] = random.Random(0).randbytes(16)
    (tmp_path / "damaged.mkv").write_bytes(content)
    assert len(everything(tmp_path / "damaged.mkv", "keep")) == 12
    found = "it is damaged after frame 5, at 0.16 s: two decoders give different pictures of the next frame"
    assert video.probe(tmp_path / "damaged.mkv")["status"] == found


def remuxed(source, target, wanted):
    with av.open(str(source)) as container, av.open(str(target), "w") as output:
        stream = output.add_stream_from_template(container.streams.video[0])
        for i, packet in enumerate(container.demux(video=0)):
            if packet.size and wanted(i):
                packet.stream = stream
                output.mux(packet)


def test_lost_packets_and_cut_files_are_refused(movie, tmp_path):
    remuxed(movie("h264.mp4"), tmp_path / "lost.mp4", lambda i: i != 9)
    reason = "it is damaged after frame 33, at 1.56 s: 6 of its 39 frames are missing"
    assert video.probe(tmp_path / "lost.mp4")["status"] == reason
    for name, reason in (("simple.avi", "cannot be decoded"), ("vp8.webm", "as an interrupted download does")):
        content = movie(name).read_bytes()
        (tmp_path / name).write_bytes(content[: len(content) // 4])
        assert reason in video.probe(tmp_path / name)["status"]


@pytest.mark.parametrize("name, codec", [("a.mp4", "mpeg4"), ("a.mkv", "mpeg4"), ("a.avi", "mpeg4"), ("a.wmv", "wmv2")])
def test_a_file_may_begin_seconds_after_zero(tmp_path, name, codec):
    """The duration in its header includes this time in some formats, and not in others."""
    encode(tmp_path / name, codec, shift=75)
    found = video.probe(tmp_path / name)
    assert (found["status"], found["frames"]) == ("ok", COUNT)


def test_a_recording_may_begin_within_a_group_of_pictures(movie, tmp_path):
    remuxed(movie("h264.ts"), tmp_path / "a.ts", lambda i: i > 4)
    found = video.probe(tmp_path / "a.ts")
    assert found["status"] == "ok" and numbers(everything(tmp_path / "a.ts")) == list(range(9, COUNT))


@pytest.mark.parametrize("number", [29, 99])
def test_side_data_of_a_later_ffmpeg_is_no_error(number):
    """A telephone's spatial video has some that PyAV does not know. Only the rotation is read, by its name."""
    assert Type(number) != Type.DISPLAYMATRIX


def test_side_data_that_pyav_does_not_know_is_ignored(tmp_path):
    """Cameras write Exif into each picture of a Motion JPEG."""
    with av.open(str(tmp_path / "a.avi"), "w") as output:
        stream = output.add_stream("mjpeg", 25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuvj420p"
        for i in range(3):
            exif, data = Image.Exif(), io.BytesIO()
            exif[0x010F] = "Camera"
            Image.fromarray(numbered(i)).save(data, "JPEG", exif=exif.tobytes())
            packet = av.Packet(data.getvalue())
            packet.pts = packet.dts = i
            packet.time_base, packet.stream, packet.is_keyframe = Fraction(1, 25), stream, True
            output.mux(packet)
    assert video.probe(tmp_path / "a.avi")["frames"] == 3 and numbers(everything(tmp_path / "a.avi")) == [0, 1, 2]


def test_the_timetable_is_kept_until_the_file_changes(movie, tmp_path, monkeypatch):
    path, built, build = tmp_path / "a.mp4", [], decoding._timetable
    monkeypatch.setattr(decoding, "_timetables", decoding._Timetables())
    monkeypatch.setattr(decoding, "_timetable", lambda *rest: built.append(1) or build(*rest))
    for name in ("h264.mp4", "h264-all-keys.mp4"):
        path.write_bytes(movie(name).read_bytes())
        for index in (20, 30):
            np.testing.assert_array_equal(decoding.pick(path, np.array([index]), small)[index], everything(path)[index])
    assert len(built) == 2
    monkeypatch.setattr(decoding, "_KEPT_FRAMES", 1)
    for name in ("vp9.webm", "h264.mp4", "vp9.webm"):
        decoding.pick(movie(name), np.array([5]), small)
    assert len(built) == 5 and len(decoding._timetables) == 1


def test_threads_change_no_pixel(movie, monkeypatch):
    monkeypatch.setattr(decoding, "_TWO_THREADS", 1)
    for name in ("h264.mp4", "h264-open-groups.mp4", "hevc.mkv"):
        for start in (0, 17, 35):
            one, two = (decoding.pick(movie(name), start + np.arange(5), small, COUNT, n) for n in (1, 2))
            np.testing.assert_array_equal(list(one.values()), list(two.values()))


def test_pyav_19_has_no_metadata_errors(tmp_path, monkeypatch):
    """Its `open` refuses the argument that earlier ones need for names that are not UTF-8."""
    trees.video(tmp_path / "a.mp4")
    opened = av.open

    def nineteen(*arguments, **options):
        assert "metadata_errors" not in options
        return opened(*arguments, **options)

    monkeypatch.setattr(av, "__version__", "19.0.0")
    monkeypatch.setattr(av, "open", nineteen)
    spec = importlib.util.find_spec(decoding.__name__)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert module.frame_count(tmp_path / "a.mp4") > 0
