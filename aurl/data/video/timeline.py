"""The timeline of a file: which frame a player shows at a given time."""

import av
import numpy as np

_GAP = 10  # seconds; FFmpeg treats a longer gap in a stream of packets, such as MPEG-TS, as a new clock
_BACK = 0.1  # seconds; FFmpeg treats a longer step back as a new clock, and a shorter one as disorder
_ROUNDING = 1e-3  # seconds; containers round times to milliseconds
_EVEN = 0.1  # frames; at a constant rate, no timestamp is further from its frame's place


def header(stream: av.VideoStream) -> tuple[float, float | None, bool]:
    """The arguments ``stated``, ``begin`` and ``restarts`` of `of_frames` for an open stream."""
    container, rate = stream.container, stream.average_rate or stream.guessed_rate
    begin = None if container.start_time is None else container.start_time / av.time_base
    return float(rate or 0), begin, bool(container.format.flags & av.format.Flags.ts_discont.value)


def shown_at(frames: list[tuple[float | None, float | None]]) -> list[float | None]:
    """The times of frames in seconds, from their two timestamps: (presentation, decoding).

    Presentation times are used unless they are out of order more often than decoding times: some containers, such as
    AVI, lack them, and FFmpeg guesses.
    """
    presented, decoded = ([pair[place] for pair in frames] for place in (0, 1))
    known = [time for time in decoded if time is not None]
    disorder = np.inf if None in presented else (np.diff(presented) <= 0).sum()
    if len(known) < 2 or disorder <= (np.diff(known) <= 0).sum():
        return presented
    step = float(np.median(np.diff(known)))  # the last frames may come without a packet, so without a timestamp
    return known + [known[-1] + step * (i + 1) for i in range(len(frames) - len(known))]


def of_frames(times: list[float | None], stated: float, begin: float | None, restarts: bool) -> dict:
    """The timeline of a file whose frames, in the order of presentation, have these ``times``.

    Args:
        times: seconds; None where the file has none.
        stated: frames per second in the header, 0 if missing.
        begin: time of the earliest sound or picture of the file; None for the time of the first frame.
        restarts: whether a long gap is a new clock, as in MPEG-TS.

    Returns:
        ``start``, the seconds from ``begin`` to the first frame; ``fps``, frames per second, as stated if the times
        agree; ``duration``, the seconds for which the frames are shown, their number divided by ``fps``; ``times``, the
        seconds from the first frame to each frame if the rate is not constant, else empty.
    """
    count = len(times)
    if None in times:  # a stream without a container
        return dict(start=0.0, fps=stated or 25.0, duration=count / (stated or 25), times=[])
    steps = np.diff(times)
    step = float(np.median(steps[steps > 0])) if (steps > 0).any() else 1 / (stated or 25)
    new_clock = (steps < -_BACK) | (restarts & (steps > _GAP))
    since = np.sort(np.append(0, np.cumsum(np.where(new_clock, step, steps))))
    since, places, uneven = since - since[0], np.arange(count), []
    found = places[-1] / since[-1] if since[-1] else stated or 25.0
    rates = [fps for fps in (stated, round(found, 3), found) if fps and abs(since * fps - places).max() <= _EVEN]
    if not rates:
        rates, uneven = [count / float(since[-1] + step)], since.round(4).tolist()
    start = 0.0 if begin is None else round(max(times[0] - begin, 0), 4)
    return dict(start=start, fps=rates[0], duration=count / rates[0], times=uneven)


def frame_at(seconds: float, start: float, fps: float, frames: int, times: list[float]) -> int:
    """The frame, counted from 0, that a file shows at ``seconds``; 0 before the first, ``frames`` after the last.

    The other arguments are values of `aurl.data.video.probe`.
    """
    since = seconds - start
    if times and since < frames / fps:
        return max(0, int(np.searchsorted(times, since + _ROUNDING, side="right")) - 1)
    return int(np.clip(np.floor(since * fps + _EVEN), 0, frames))
