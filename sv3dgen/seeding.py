"""One way from a seed to random numbers: `generator(seed, "batch", step)`.

Words keep streams apart: two parts, or two steps, that name different words draw independently, whatever was drawn
before. A resumed run therefore repeats its draws exactly. Words are spelled out and hashed, so that no two of them
can collide by arithmetic, and the numbers are the same on every machine.
"""

import hashlib

import torch


def seed_of(seed: int, *words: object) -> int:
    """63 bits that follow from a seed and words, the same on every machine."""
    digest = hashlib.sha256("/".join(map(str, (seed, *words))).encode()).digest()
    return int.from_bytes(digest[:8], "little") >> 1


def generator(seed: int, *words: object) -> torch.Generator:
    """A CPU generator of the stream that a seed and words name."""
    return torch.Generator().manual_seed(seed_of(seed, *words))


def seed_draws(seed: int, device: torch.device) -> None:
    """Seed whatever draws without a generator of its own, on the CPU and on `device`, as `torch.manual_seed` does.

    On a CPU that one takes milliseconds: for each kind of GPU that has not been started it keeps the caller's stack.
    """
    if device.type == "cpu":
        torch.default_generator.manual_seed(seed)
    else:
        torch.manual_seed(seed)
