"""Class names as vectors: name -> words -> mean of the words' vectors, and which training classes overlap test classes."""

from aurl.text.class_names import Rules, describe, load_sentences, words
from aurl.text.class_vectors import load_classes, overlapping, principal, save_classes, select, without_overlap
from aurl.text.embedding import WordVectors

__all__ = [
    "Rules",
    "WordVectors",
    "describe",
    "load_classes",
    "load_sentences",
    "overlapping",
    "principal",
    "save_classes",
    "select",
    "without_overlap",
    "words",
]
