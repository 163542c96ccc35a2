"""Work on pictures that come one after the other, by several threads, without all of them in memory at once."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from sv3dgen.parallel.cores import usable_cores

Item, Result = TypeVar("Item"), TypeVar("Result")


def side_by_side(function: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
    """`map`, with a picture or two more in work than there are cores. For what runs outside the interpreter lock."""
    workers = usable_cores()
    waiting: deque[Future[Result]] = deque()
    with ThreadPoolExecutor(workers) as pool:
        for item in items:
            waiting.append(pool.submit(function, item))
            if len(waiting) > workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
