"""Files read in threads while the one before is worked on: in order, and a few of them in memory at most."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

Content = TypeVar("Content")

THREADS = min(os.cpu_count() or 1, 4)  # more would wait for the interpreter's lock


def read_ahead(paths: Iterable[Path], read: Callable[[Path], Content]) -> Iterator[Content]:
    """read(path) of each, and what it raises, in order; THREADS files ahead."""
    with ThreadPoolExecutor(THREADS) as pool:
        waiting: deque = deque()
        try:
            for path in paths:
                waiting.append(pool.submit(read, path))
                if len(waiting) > THREADS:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            pool.shutdown(cancel_futures=True)
