"""Which examples of a data set are compared with each other: each with the next, or all with all.

A table over pairs of examples has a row for each partner, (partners, cases * places), so that it
meets arrays with one entry for each case as NumPy broadcasts them. Where the input is a law, the
partner of the one case is another draw of it, and tables are arrays like all others.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.network.records import Array


@dataclass(frozen=True)
class Partners:
    """Of `examples` examples, each followed `repeats` times (cases are in the order of examples,
    and repeats within them); `everyone`: whether all examples are each other's partners."""

    examples: int
    repeats: int
    everyone: bool

    def of(self, values: Array) -> Array:
        """Each case's number on its partners, (partners, cases * places)."""
        by_example = values.reshape(self.examples, -1)
        if not self.everyone:
            return np.roll(by_example, -1, axis=0).reshape(1, -1)
        table = np.broadcast_to(by_example[:, None], (self.examples, *by_example.shape))
        return np.asarray(table.reshape(self.examples, -1))

    def products(self, rows: Array) -> Array:
        """The mean over the columns of each case's row times its partners' rows."""
        if not self.everyone:
            partner = np.roll(rows.reshape(self.examples, -1), -1, axis=0).reshape(rows.shape)
            return np.asarray(np.mean(rows * partner, axis=1)[None])
        by_case = rows.reshape(self.examples, -1, rows.shape[1]).transpose(1, 0, 2)
        both: Array = by_case @ by_case.transpose(0, 2, 1)
        return self.table(both / rows.shape[1])

    def others(self, table: Array) -> Array:
        """Each case's average over its partners, without itself."""
        if not self.everyone:
            return np.asarray(table[0])
        matrices = self.matrices(table)
        own = np.einsum("ree->re", matrices)
        return np.asarray(((matrices.sum(axis=2) - own) / (self.examples - 1)).T.reshape(-1))

    def matrices(self, table: Array) -> Array:
        """A symmetric table over all pairs as matrices, (repeats * places, examples, examples)."""
        return np.asarray(table.reshape(self.examples, self.examples, -1).transpose(2, 1, 0))

    def table(self, matrices: Array) -> Array:
        """Such matrices as a table."""
        return np.ascontiguousarray(matrices.transpose(2, 1, 0)).reshape(self.examples, -1)
