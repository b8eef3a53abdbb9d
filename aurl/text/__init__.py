"""Class vectors from word vectors, a file or a text encoder; training classes that overlap test classes."""

from aurl.text.class_names import Rules, closest, describe, load_sentences, phrase, words
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
from aurl.text.sources import Embeddings, Encoder, check_source, embed_described, open_source, source_named
