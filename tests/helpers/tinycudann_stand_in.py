"""A slow tinycudann: `Encoding` for grids, after tiny-cuda-nn's documentation and the remarks in its sources."""

import math

import torch
from accelerator_case import module_of
from torch import Tensor
from torch.nn.functional import pad

WORD = 0xFFFFFFFF  # indices are unsigned numbers of 32 bits
LARGEST_DENSE = 1625  # vertices along an axis of which the cube fits into a word
BATCH = 256


class Encoding(torch.nn.Module):
    """Of a batch of points [points, 3], float32, the features of all levels [points, levels * features]."""

    def __init__(self, n_input_dims: int, encoding_config: dict, seed: int = 1337, dtype: torch.dtype | None = None):
        super().__init__()
        given = dict(encoding_config)
        assert n_input_dims == 3 and given.pop("otype") in ("Grid", "HashGrid") and dtype == torch.float32
        assert given.pop("type") == "Hash" and given.pop("hash") == "CoherentPrime"
        assert given.pop("interpolation") == "Linear"
        self.features = given.pop("n_features_per_level")
        table_size = 1 << given.pop("log2_hashmap_size")
        base, growth = given.pop("base_resolution"), given.pop("per_level_scale")
        self.levels = []  # scale, vertices along an axis, entries, first entry
        first = 0
        for level in range(given.pop("n_levels")):
            scale = float(torch.tensor(2.0 ** (level * math.log2(growth)) * base - 1.0))
            vertices = math.ceil(scale) + 1
            entries = min(-(-(vertices**3) // 8) * 8, table_size)
            self.levels.append((scale, vertices, entries, first))
            first += entries
        assert not given and self.features in (1, 2, 4, 8), given
        generator = torch.Generator().manual_seed(seed)
        self.params = torch.nn.Parameter((torch.rand(first * self.features, generator=generator) - 0.5) * 2e-4)
        self.n_output_dims = len(self.levels) * self.features

    def forward(self, x: Tensor) -> Tensor:
        assert x.dtype == self.params.dtype == torch.float32 and self.params.is_contiguous()
        padded = pad(x, (0, 0, 0, -len(x) % BATCH))
        table = self.params.reshape(-1, self.features)
        return torch.cat([_level(padded, table, *level) for level in self.levels], dim=1)[: len(x)]


def _level(x: Tensor, table: Tensor, scale: float, vertices: int, entries: int, first: int) -> Tensor:
    position = (x.double() * scale + 0.5).float()  # a fused multiplication and addition: it rounds once
    cell = position.detach().floor()
    fraction = position - cell
    value = torch.zeros(len(x), table.shape[1])
    for corner in range(8):
        steps = torch.tensor([corner & 1, corner >> 1 & 1, corner >> 2])
        along_x, along_y, along_z = torch.where(steps.bool(), fraction, 1 - fraction).unbind(1)
        weight = along_x * along_y * along_z
        index = _index((cell.long() + steps) & WORD, vertices, entries)
        value = value + weight[:, None] * table[first + index]
    return value


def _index(vertex: Tensor, vertices: int, entries: int) -> Tensor:
    x, y, z = vertex.unbind(1)
    if vertices <= LARGEST_DENSE and vertices**3 <= entries:
        return (x + y * vertices + z * vertices**2 & WORD) % entries
    return (x ^ (y * 2654435761 & WORD) ^ (z * 805459861 & WORD)) % entries


MODULES = {"tinycudann": module_of("tinycudann", Encoding=Encoding)}
