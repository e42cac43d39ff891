"""A BERT encoder in NumPy, float32: reads its weights from a .safetensors file and keeps, of every
layer, what attention saw and did: hidden states, queries, keys and attention maps.
"""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

TYPES = {"F32": "<f4", "F64": "<f8", "I64": "<i8"}


def read_safetensors(path):
    """The tensors of a file by name: 8 bytes with the length of a JSON header, it, the numbers."""
    data = Path(path).read_bytes()
    length = int.from_bytes(data[:8], "little")
    if len(data) < 8 or length > len(data) - 8:
        raise ValueError(f"{path} is no .safetensors file: {len(data)} bytes, the header has "
                         f"{length}")
    header = json.loads(data[8:8 + length])
    header.pop("__metadata__", None)
    return {name: tensor(f"{name} in {path}", entry, memoryview(data)[8 + length:])
            for name, entry in header.items()}


def tensor(name, entry, numbers):
    start, end = entry["data_offsets"]
    if entry["dtype"] not in TYPES:
        raise ValueError(f"{name} has type {entry['dtype']}, not one of {', '.join(TYPES)}")
    dtype = np.dtype(TYPES[entry["dtype"]])
    wanted = int(np.prod(entry["shape"], dtype=np.int64)) * dtype.itemsize
    if not 0 <= start <= end <= len(numbers) or end - start != wanted:
        raise ValueError(f"{name} lies at bytes {start} to {end} of {len(numbers)}; "
                         f"its shape {entry['shape']} needs {wanted} bytes")
    return np.frombuffer(numbers[start:end], dtype).reshape(entry["shape"])


@dataclass
class Layer:
    """What one layer's attention saw and did, for (contexts, tokens) of text."""
    hidden: np.ndarray   # (contexts, tokens, width), the layer's input
    queries: np.ndarray  # (contexts, heads, tokens, head size), with bias
    keys: np.ndarray     # likewise
    maps: np.ndarray     # (contexts, heads, tokens, tokens); each row sums to 1


class Encoder:
    def __init__(self, weights, heads, epsilon):
        self.weights, self.heads, self.epsilon = weights, heads, epsilon
        self.layers = 1 + max(int(name.split(".")[2]) for name in weights
                              if name.startswith("encoder.layer."))

    @classmethod
    def from_folder(cls, folder):
        config = json.loads((Path(folder) / "config.json").read_text(encoding="utf-8"))
        weights = read_safetensors(Path(folder) / "model.safetensors")
        return cls(weights, config["num_attention_heads"], config["layer_norm_eps"])

    def run(self, tokens):
        """Of token numbers (contexts, tokens): the last hidden states, and a Layer for each."""
        words, places, kinds = (self.weights[f"embeddings.{name}_embeddings.weight"]
                                for name in ("word", "position", "token_type"))
        hidden = words[tokens] + places[:tokens.shape[1]] + kinds[0]
        hidden = self.normalize("embeddings.LayerNorm", hidden)
        seen = []
        for i in range(self.layers):
            hidden, layer = self.layer(f"encoder.layer.{i}", hidden)
            seen.append(layer)
        return hidden, seen

    def layer(self, name, hidden):
        queries, keys, values = (self.split(self.linear(f"{name}.attention.self.{part}", hidden))
                                 for part in ("query", "key", "value"))
        maps = softmax(queries @ keys.swapaxes(2, 3) / np.float32(np.sqrt(queries.shape[3])))
        attended = (maps @ values).swapaxes(1, 2).reshape(hidden.shape)
        after = self.normalize(f"{name}.attention.output.LayerNorm",
                               hidden + self.linear(f"{name}.attention.output.dense", attended))
        inner = gelu(self.linear(f"{name}.intermediate.dense", after))
        after = self.normalize(f"{name}.output.LayerNorm",
                               after + self.linear(f"{name}.output.dense", inner))
        return after, Layer(hidden, queries, keys, maps)

    def linear(self, name, x):
        # One product of two matrices: NumPy is several times slower on a stack of small ones.
        rows = x.reshape(-1, x.shape[-1]) @ self.weights[f"{name}.weight"].T
        return (rows + self.weights[f"{name}.bias"]).reshape(*x.shape[:-1], -1)

    def normalize(self, name, x):
        x = x - x.mean(axis=-1, keepdims=True)
        x /= np.sqrt((x * x).mean(axis=-1, keepdims=True) + np.float32(self.epsilon))
        return x * self.weights[f"{name}.weight"] + self.weights[f"{name}.bias"]

    def split(self, x):
        """(contexts, tokens, width) to (contexts, heads, tokens, head size)."""
        return x.reshape(*x.shape[:2], self.heads, -1).swapaxes(1, 2)


def softmax(z):
    u = np.exp(z - z.max(axis=-1, keepdims=True))
    return u / u.sum(axis=-1, keepdims=True)


def gelu(x):
    """x times the normal distribution's integral up to x."""
    return x * (1 + erf(x * np.float32(np.sqrt(0.5)))) / 2


def erf(x):
    """Abramowitz and Stegun 7.1.26: error at most 1.5e-7, and 6e-7 with float32's rounding."""
    t = 1 / (1 + np.float32(0.3275911) * np.abs(x))
    series = np.zeros_like(x)
    for c in (1.061405429, -1.453152027, 1.421413741, -0.284496736, 0.254829592):
        series = (series + np.float32(c)) * t
    return np.copysign(1 - series * np.exp(-x * x), x)
