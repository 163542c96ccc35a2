"""The values of a checkpoint's tensors, each mapped from its file by itself and looked through for NaN and infinity."""

import mmap
from collections.abc import Iterator

import torch
from torch import Tensor

from sv3dgen.errors import InputError
from sv3dgen.sv3d.checkpoint.contents import Contents
from sv3dgen.sv3d.checkpoint.keys import Entry
from sv3dgen.sv3d.checkpoint.safetensors_header import DTYPE_BYTES, StoredTensor

_TORCH_DTYPES = {"F16": torch.float16, "BF16": torch.bfloat16, "F32": torch.float32, "F64": torch.float64}


def finite_tensors(contents: Contents) -> Iterator[tuple[Entry, Tensor]]:
    """Everything that fills parameters, as stored, in the order in which it lies on the disk.

    No more than this one and the one before are mapped unless the caller keeps them. Raises InputError at the first
    tensor with a NaN or an infinity.
    """
    for entry, stored in contents.used:
        tensor = _mapped(stored)
        if not is_finite(tensor):
            kind = "a NaN" if tensor.isnan().any() else "an infinity"
            raise InputError(f"{stored.file}: {entry.key} has {kind} in it, expected finite values")
        yield entry, tensor
        del tensor


def is_finite(tensor: Tensor) -> bool:
    """Whether all values are. One pass and no copy, unlike `isfinite`: a NaN gets through to both extremes."""
    low, high = tensor.aminmax()
    return bool(low.isfinite() & high.isfinite())


def _mapped(stored: StoredTensor) -> Tensor:
    """A tensor on the file's own pages. Writing to it copies the page and leaves the file alone."""
    start = stored.first_byte // mmap.ALLOCATIONGRANULARITY * mmap.ALLOCATIONGRANULARITY
    offset, length = stored.first_byte - start, stored.size * DTYPE_BYTES[stored.dtype]
    try:
        with stored.file.open("rb") as file:
            pages = mmap.mmap(file.fileno(), offset + length, access=mmap.ACCESS_COPY, offset=start)
    except (OSError, ValueError) as error:
        raise InputError(f"{stored.file}: cannot be read ({error})") from error
    if hasattr(pages, "madvise"):  # not on Windows
        pages.madvise(mmap.MADV_WILLNEED)
    dtype = _TORCH_DTYPES[stored.dtype]
    if offset % dtype.itemsize:  # the format allows it; torch wants whole steps
        tensor = torch.frombuffer(pages, dtype=torch.uint8, count=length, offset=offset).clone().view(dtype)
    else:
        tensor = torch.frombuffer(pages, dtype=dtype, count=stored.size, offset=offset)
    return tensor.reshape(stored.shape)
