"""Video files as arrays: decode, sample clips, probe, encode."""

from aurl.data.video.decoding import VideoError
from aurl.data.video.reading import clip_indices, probe, read_clips, read_frames, write_video
