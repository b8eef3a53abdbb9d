"""Embed the class names of the built-in benchmark with a sentence encoder, for ``text.embeddings``.

    pip install "aurl[encoders]"
    python benchmarks/embeddings.py        writes data/embeddings/all-minilm-l6-v2.npz

The file has a vector for each verb ("bouncing"), color ("red") and thing ("ball"), and for each class: "bouncing ball",
read as "a ball is bouncing", and "red ball", read as "a red ball". Vectors are float16.
"""

import argparse

import numpy as np

from aurl import text
from aurl.project.files import npz, write_bytes
from aurl.rendered.motions import VERBS
from aurl.rendered.sets import COLORS, THINGS

ENCODER = "aurl.text.encoders:sentence"


def sentences():
    """Class name -> what the encoder reads."""
    found = {name: name for name in [*sorted(VERBS), *COLORS, *THINGS]}
    for thing in THINGS:
        found |= {f"{verb} {thing}": f"a {thing} is {verb}" for verb in sorted(VERBS)}
        found |= {f"{color} {thing}": f"{'an' if color == 'orange' else 'a'} {color} {thing}" for color in COLORS}
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
