"""Classify any video by any class names, with a trained model.

    Classifier("runs/aurl-0").classify(["dog.mp4"], ["walk a dog", "juggle"])

The pipeline refuses a class with an unknown word; here the word is replaced or left out, and a note says so.
"""

import os
import string
from pathlib import Path
from typing import NamedTuple

import lemminflect
import numpy as np
import pandas as pd
import torch

from aurl import UserError
from aurl.data.readers.listing import Listing, counted
from aurl.data.video import VideoError, read_clips
from aurl.project import config
from aurl.project.progress import bar
from aurl.text import Rules, open_source, source_named, words
from aurl.text.sources import SHIPPED
from aurl.training import devices, pretrained
from aurl.training.inference import encode_classes, rank, similarity, to_device

COLUMNS = ["video", "rank", "class", "score", "margin"]


class Answer(NamedTuple):
    """The result of `Classifier.classify`."""

    table: pd.DataFrame  # `COLUMNS`, a row per video and class
    notes: list[str]  # sentences on skipped files and on words without a vector
    broken: list[str]  # sentences on unreadable videos


class Classifier:
    """A model and its source of class vectors.

    Args:
        model: a source for `aurl.training.pretrained.load`.
        vectors: a file of word vectors or class vectors, or a text encoder ``MODULE:FUNCTION``. By default the source
            that the model was trained with, or the source in ``params.yaml`` if the model does not name any.

    Raises UserError if model or vectors are missing or of another kind, if their dimensions differ, if the model does
    not describe its clips, or if it names a text encoder from outside this project.
    """

    def __init__(self, model, vectors=None):
        self.model, self.clip, word_dim, own = _open(model)
        if vectors is not None and str(vectors) not in own.values():
            own = source_named(str(vectors))
        elif vectors is None and not own.get("encoder", SHIPPED).startswith(SHIPPED):
            raise UserError(
                f"{model} embeds class names by {own['encoder']}, which is not this project's: to run it, add "
                f"--vectors {own['encoder']}"
            )
        source = own or config.load(sections=["text"]).text.source
        self.source, named = open_source(**source, extend=True), next(iter(source.values()))
        if self.source.dim != word_dim:
            raise UserError(
                f"{named} has vectors of {self.source.dim} dimensions but {model} takes {word_dim}: "
                "use what the model was trained with."
            )
        self.arithmetic = devices.Arithmetic(devices.best_device(), "float32", channels_last=False, compiled=False)

    def classify(self, paths, classes, clips=1, top=5):
        """Rank the class names for every video; returns an `Answer`.

        A score in [-1, 1] is a cosine, or the model's learned score. A margin is the score minus the next lower
        score among all classes, NaN for the last class. Raises UserError for no video, no class, or a class without a
        known word.

        Args:
            paths: videos and folders of videos.
            classes: names.
            clips: the number of clips of each video, whose features are averaged.
            top: the number of classes to keep for each video.
        """
        (paths, skipped), classes = find_videos(paths), list(dict.fromkeys(classes))
        if not classes:
            raise UserError("there is no class to choose from: name at least one.")
        word_vectors, notes = embed(classes, self.source)
        named = encode_classes(self.model, word_vectors)
        rows, broken = [], []
        for path in bar(paths, desc="classifying", unit="video", disable=len(paths) < 2):
            try:
                video = self._encode(path, clips)
            except VideoError as error:
                broken.append(str(error))
                continue
            scored = similarity(video, named, self.model.relation)
            labels, scores = (found[0] for found in rank(scored, classes, len(classes)))
            scores = scores.astype(float).round(4) + 0  # adding 0 turns -0 into 0
            margins = np.append((scores[:-1] - scores[1:]).round(4), np.nan)
            best = zip(labels.tolist(), scores.tolist(), margins.tolist())
            rows += [(path, place, *found) for place, found in enumerate(best, 1) if place <= top]
        return Answer(pd.DataFrame(rows, columns=COLUMNS), skipped + notes, broken)

    @torch.no_grad()
    def _encode(self, path, clips):
        """Features float32 of unit length, (1, D) or (1, K, D)."""
        clip, count = self.clip, clips * self.clip.segments
        frames = read_clips(path, clip.frames, clip.stride, count, clip.size, crop=clip.crop == "crop")
        video, mirrored = torch.from_numpy(frames)[None], torch.zeros(1, count, dtype=torch.bool)
        return self.model.encode_video(to_device(video, mirrored, self.arithmetic)).cpu().numpy()


def find_videos(paths):
    """The videos among ``paths`` and in the folders among them, and sentences on skipped files.

    Raises UserError for a path that does not exist and for a folder without videos.
    """
    found, notes = [], []
    for path in map(Path, paths):
        if os.path.isdir(path):  # False also for an invalid name
            listing = Listing(path, "a folder of videos", any_name=True)
            inside = sorted(f"{listing.root}/{name}" for name in listing.videos(listing.top))
            others = listing.others()
            if not inside:
                only = f", only {counted(others)}" if others else ""
                raise UserError(f"{plain(path)} has no videos{only}: give a video, or a folder with some.")
            found += inside
            notes += [f"{listing.root}: {counted(others)} skipped"] * bool(others)
            notes += [f"{listing.root}/{skipped}, skipped" for skipped in sorted(listing.skipped)]
        elif os.path.exists(path):
            found.append(str(path))
        else:
            raise UserError(f"there is no video {plain(path)}: correct the path.")
    if not found:
        raise UserError("there is no video to classify: give a video, or a folder with some.")
    return list(dict.fromkeys(found)), notes


def embed(names, vectors):
    """Class vectors (C, W) float32, and a sentence on every word without a vector.

    With word vectors, a capital begins a word, as in "JumpRope". A word without a vector is replaced by the first of
    its `_alternatives` that has one, or left out. Raises UserError for a class without a known word.
    """
    if vectors.column != "words":
        return vectors.embed(names), []
    spoken = {name: words(name, Rules(capitals=True)) for name in names}
    vectors.fetch({word for found in spoken.values() for word in found})
    unknown = list(dict.fromkeys(word for found in spoken.values() for word in found if not _knows(vectors, word)))
    nearest = _replacements(unknown, vectors)
    notes = [
        f'{word}: no vector, "{nearest[word]}" used instead' if nearest[word] else f"{word}: no vector, left out"
        for word in unknown
    ]
    used = {name: [nearest.get(word, word) for word in found] for name, found in spoken.items()}
    for name, found in used.items():
        if not any(found):
            missing = "no word of it has a vector" if found else "it holds no word"
            raise UserError(f'the class "{plain(name)}" cannot be embedded, as {missing}: write it with other words.')
    return vectors.embed(names, Rules({name: " ".join(filter(None, found)) for name, found in used.items()})), notes


def plain(text):
    """A text that is safe to print: control and other unprintable characters are escaped.

    >>> plain("walk\\n\\x1b[2J")
    'walk\\\\n\\\\x1b[2J'
    """
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in str(text))


def _open(path):
    """The model, its section ``clip``, the width W of word vectors, and its own arguments of `open_source`."""
    model = pretrained.load(path)
    about = model.about
    if "features" in about:
        raise UserError(
            f"{path} is a model of features that were computed elsewhere, which names no videos: name another one."
        )
    if about.get("model", {}).get("describe"):
        raise UserError(
            f"{path} embeds class names together with descriptions, which new names do not have: name another model."
        )
    try:
        return model, config.Clip(**about["clip"]), about["word_dim"], dict(about.get("text", {}))
    except (KeyError, TypeError, ValueError):  # pydantic's is a ValueError
        raise UserError(f"{path} does not say which clips its model takes: train it again, with `dvc repro`.") from None


def _knows(vectors, word):
    return 0 < np.linalg.norm(np.asarray(vectors.lookup(word), float)) < np.inf


def _replacements(unknown, vectors):
    """Each unknown word -> the first of its `_alternatives` with a vector, or ``None``."""
    alternatives = {word: _alternatives(word) for word in unknown}
    if unknown:
        vectors.fetch({other for others in alternatives.values() for other in others})  # a large file is read once
    return {
        word: next((other for other in others if _knows(vectors, other)), None) for word, others in alternatives.items()
    }


def _alternatives(word):
    """Words that a user may mean, likeliest first: base forms, then spellings one edit away (from four letters on)."""
    base = [form for forms in lemminflect.getAllLemmas(word).values() for form in forms]
    cuts = [(word[:place], word[place:]) for place in range(len(word) + 1)] if len(word) > 3 else []
    doubled = [head + tail[0] + tail for head, tail in cuts if tail]
    swapped = [head + tail[1] + tail[0] + tail[2:] for head, tail in cuts if len(tail) > 1]
    longer = [head + letter + tail for head, tail in cuts for letter in string.ascii_lowercase]
    shorter = [head + tail[1:] for head, tail in cuts if tail]
    other = [head + letter + tail[1:] for head, tail in cuts if tail for letter in string.ascii_lowercase]
    return [found for found in dict.fromkeys(base + doubled + swapped + longer + shorter + other) if found != word]
