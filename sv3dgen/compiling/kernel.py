"""Hot loops that numba compiles, kept between runs by what they say and not by where they lie.

`@kernel()` stands where `@numba.njit(cache=True)` would. A compiled function is found again under a digest of its
bytecode, of the constants and of the kernels that it names, of its types and of the processor: in a moved or a fresh
checkout, after another function of its file has changed, and never after one that it calls has.
"""

from collections.abc import Callable
from typing import Any

import numba
from numba.core.cpu_options import ParallelOptions
from numba.core.dispatcher import Dispatcher

from sv3dgen.compiling.kept import KeptKernels

AUTOMATIC = ("comprehension", "reduction", "inplace_binop", "setitem", "numpy", "stencil", "fusion")


def kernel(**options: Any) -> Callable[[Callable[..., Any]], Any]:
    """`numba.njit` with these options, and its compiled code kept between runs.

    `parallel=True` makes threads of `prange` alone. Numba would compile threads of their own for each zeroed array and
    each sum too, which takes it longer than the loops that are meant.

    What a kernel calls is compiled into it. Left as a function of its own, it lies twice in the process that compiles
    it, optimized alone and as a part: a fast-math sum then has other last bits there than once it is read back.
    """
    if options.get("parallel"):
        options["parallel"] = ParallelOptions(dict.fromkeys(AUTOMATIC, False))
    elif options.get("inline") != "always":
        options["forceinline"] = True

    def compiled(function: Callable[..., Any]) -> Any:
        dispatcher = numba.njit(**options)(function)
        if isinstance(dispatcher, Dispatcher):  # under NUMBA_DISABLE_JIT it is the function itself
            dispatcher._cache = KeptKernels(dispatcher)
        return dispatcher

    return compiled
