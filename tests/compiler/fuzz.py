"""``python -m tests.compiler.fuzz N [FIRST [FEATURE]]``: N random programs, compiled, against the
reference; without the processor features that start with FEATURE (``avx512``)."""

from __future__ import annotations

import functools
import sys
import traceback
from collections import Counter

from tests.compiler.programs import difference
from tinygrad_edu.compiler.plan import build
from tinygrad_edu.kernels.llvm import host


def main(count: int, first: int = 0, without: str | None = None) -> int:
    """Run them; the number of failures."""
    target = host().without(without) if without else host()
    compiled = functools.partial(build, target=target)
    failed: Counter[str] = Counter()
    for seed in range(first, first + count):
        try:
            worst, _ = difference(seed, compiled)
        except Exception as error:
            failed[type(error).__name__] += 1
            where = traceback.extract_tb(error.__traceback__)[-1]
            print(f"seed {seed}: {type(error).__name__}: {str(error)[:150]} ({where.name})")
            continue
        if worst > 1:
            failed["difference"] += 1
            print(f"seed {seed}: {worst:.1f} times the allowance")
    print(f"{count} programs, {sum(failed.values())} failed {dict(failed)}")
    return sum(failed.values())


if __name__ == "__main__":
    numbers = [int(argument) for argument in sys.argv[1:3]]
    sys.exit(bool(main(*numbers, *sys.argv[3:4])))
