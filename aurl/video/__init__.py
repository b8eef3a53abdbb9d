"""Video files as arrays: decode, sample clips, normalize, probe, encode, and copy to proxies."""

from aurl.video.decoding import VideoError
from aurl.video.reading import MEAN, STD, clip_indices, probe, read_clips, read_frames, to_input, write_video

__all__ = [
    "MEAN",
    "STD",
    "VideoError",
    "clip_indices",
    "probe",
    "read_clips",
    "read_frames",
    "to_input",
    "write_video",
]
