"""Passages of text to what every attention head did on them: the data of the three experiments."""

from pathlib import Path

import numpy as np

PASSAGES = Path(__file__).resolve().parent / "passages.txt"


def read_passages(path=PASSAGES):
    """The passages: blocks of lines between blank lines, without comments. Raises OSError."""
    lines = Path(path).read_text(encoding="utf-8").splitlines()
    text = "\n".join(line for line in lines if not line.startswith("#"))
    return [" ".join(block.split()) for block in text.split("\n\n") if block.strip()]


def same_length(tokenizer, texts, length):
    """Token numbers (texts, length), each text cut to that length."""
    rows = [tokenizer.encode(text, length) for text in texts]
    short = min(map(len, rows))
    if short < length:
        raise ValueError(f"a passage has {short} tokens; every context needs {length}")
    return np.array(rows)


def short_contexts(encoder, tokenizer, passages, length):
    """One context per passage: the layers' observations, each array with `len(passages)` items."""
    return encoder.run(same_length(tokenizer, passages, length))[1]


def joined_contexts(encoder, tokenizer, passages, count, length):
    """`count` longer contexts, each of two passages."""
    texts = [" ".join(passages[2 * i:2 * i + 2]) for i in range(count)]
    return short_contexts(encoder, tokenizer, texts, length)


def with_ones(hidden):
    """Hidden states with a constant column, whose coefficients are the biases."""
    return np.concatenate([hidden, np.ones((*hidden.shape[:-1], 1), hidden.dtype)], axis=-1)


def centred(keys):
    """Keys less their mean in each context: it moves a whole row of logits, unseen by softmax."""
    return keys - keys.mean(axis=-2, keepdims=True)
