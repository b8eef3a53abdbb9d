"""Class names as vectors: name -> words -> mean of the words' vectors; training classes that overlap test classes."""

from aurl.text.class_names import Rules, describe, load_sentences, words
from aurl.text.class_vectors import (
    check_sphere,
    load_classes,
    overlapping,
    principal,
    save_classes,
    select,
    share,
    without_overlap,
)
from aurl.text.embedding import WordVectors

__all__ = [
    "Rules",
    "WordVectors",
    "check_sphere",
    "describe",
    "load_classes",
    "load_sentences",
    "overlapping",
    "principal",
    "save_classes",
    "select",
    "share",
    "without_overlap",
    "words",
]
