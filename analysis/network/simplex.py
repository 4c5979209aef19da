"""Expectations of the softmax of n independent logits of one law, as one-dimensional integrals.

With S the sum of exp(z_i), 1 / S^k is the integral of t^(k-1) e^(-tS) / (k-1)!, and e^(-tS) is a
product over the logits. So with phi(t) = E[exp(-t e^z)],

    E[p_1^k] = 1/(k-1)! integral of t^(k-1) E[e^(kz) exp(-t e^z)] phi(t)^(n-1) dt,

and likewise for products of several p_i and z_i: nothing is approximated but the integral. In s =
log t every factor is analytic in the strip |Im s| < pi/2 and falls off exponentially, so that the
trapezoidal rule with step h is off by about exp(-pi^2 / h) (Trefethen and Weideman 2014).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from analysis.network.records import Array

_STEP = 0.2
"""Of s: exp(-pi^2 / 0.2) is below 1e-21."""
_NARROW = 3.0
"""Steps a standard deviation of a Gaussian logit, at least."""
_REACH = 9.0
"""A Gaussian has weight 2e-19 beyond 9 standard deviations."""
_SMALL, _LARGE = 40.0, 7.0
"""exp(-40) beside 1 is nothing, nor is exp(-exp(7))."""
_MOST_VALUES = 4_000_000
_EULER = float(np.euler_gamma)


def gaussian_logits(variance: Array, excess: Array | None = None) -> tuple[Array, Array]:
    """Nodes and weights (rows, nodes) of N(0, variance), with a small excess kurtosis: by the
    Edgeworth expansion its density takes the factor 1 + excess/24 He4."""
    sigma = np.sqrt(np.maximum(variance, 1e-12))
    step = min(1 / _NARROW, _STEP / float(sigma.max()))
    count = math.ceil(_REACH / step)
    u = np.arange(-count, count + 1) * step
    weight = np.exp(-u * u / 2)
    weight = np.tile(weight / weight.sum(), (len(sigma), 1))
    if excess is not None:
        weight = weight * (1 + excess[:, None] / 24 * ((u * u - 6) * u * u + 3))
    return sigma[:, None] * u, weight


@dataclass(frozen=True, eq=False)
class Simplex:
    """n independent logits, whose law has these nodes and weights (rows, nodes)."""

    z: Array
    weight: Array
    n: int

    @cached_property
    def _s(self) -> Array:
        """(rows, points) of log t."""
        low = -self.z.max(axis=1) - _SMALL - math.log(self.n)
        high = -self.z.min(axis=1) + math.log(_LARGE * 100)
        points = math.ceil(float((high - low).max()) / _STEP)
        return np.asarray(high[:, None] - _STEP * np.arange(points)[None, ::-1])

    @cached_property
    def _tables(self) -> dict[tuple[int, int], Array]:
        """E[z^j u^k e^(-u)], u = e^(s + z), for j = 0, 1, 2 and k = 0 ... 4: (rows, points)."""
        rows, points = self._s.shape
        tables = {(j, k): np.empty((rows, points)) for j in range(3) for k in range(5)}
        block = max(1, _MOST_VALUES // (points * self.z.shape[1]))
        for start in range(0, rows, block):
            part = slice(start, start + block)
            z = self.z[part, None, :]
            u = np.exp(np.minimum(self._s[part, :, None] + z, _LARGE))
            term = np.exp(-u)
            for k in range(5):
                for j in range(3):
                    tables[j, k][part] = np.einsum("rpn,rn->rp", term * z**j, self.weight[part])
                term = term * u
        return tables

    def moment(self, *factors: tuple[int, int]) -> Array:
        """E[prod z_i^j_i p_i^k_i] over different logits i, the factors being (j_i, k_i)."""
        power = sum(k for _, k in factors)
        rest = self.n - len(factors)
        if rest < 0:
            return np.zeros(len(self.z))
        value = np.maximum(self._tables[0, 0], 0.0) ** rest
        for factor in factors:
            value = value * self._tables[factor]
        return np.asarray(value.sum(axis=1) * _STEP / math.factorial(power - 1))

    @property
    def error(self) -> Array:
        """How far the p_i are from adding up to 1: relative, of the integrals' order."""
        return np.abs(self.n * self.moment((0, 1)) - 1)

    def squares(self) -> Array:
        """E[p_i^2 p_j^2] of two."""
        return self.moment((0, 2), (0, 2))

    def square_of_sum(self) -> Array:
        """Variance over draws of the mean of all p_i^2."""
        n, second = self.n, self.moment((0, 2))
        own = self.moment((0, 4)) / n
        return np.asarray(np.maximum(own + (n - 1) / n * self.squares() - second**2, 0.0))

    def slope(self) -> Array:
        """E[d_i^2] of d = J^T g for the Jacobian J of softmax and iid g of variance 1: d_i is p_i
        (g_i - sum p_j g_j), so it is E[p_i^2 (1 - 2 p_i + sum p_j^2)]."""
        fourth = self.moment((0, 4)) + (self.n - 1) * self.squares()
        return np.asarray(self.moment((0, 2)) - 2 * self.moment((0, 3)) + fourth)

    def given(self, row: int, z: Array) -> tuple[Array, Array, Array]:
        """E[p_1], E[p_1^2] and E[d_1^2] of `slope`, given z_1, for the law of one row."""
        s, tables = self._s[row], {key: table[row] for key, table in self._tables.items()}
        u = np.exp(np.minimum(s[None, :] + z[:, None], _LARGE))
        own = np.exp(-u) * np.maximum(tables[0, 0], 0.0) ** (self.n - 1) * _STEP
        first, second, third, fourth = ((own * u**k).sum(axis=1) for k in (1, 2, 3, 4))
        others = np.maximum(tables[0, 0], 0.0) ** (self.n - 2) * tables[0, 2] * _STEP
        both = fourth + (self.n - 1) * ((np.exp(-u) * u**2) @ others)
        return first, second, second - third + both / 6

    def radial(self) -> Array:
        """E[p_i^2 (z_i - zbar)^2], zbar = sum p_j z_j: what J^T g has along z, for each unit."""
        n, two = self.n, self.moment
        alone = two((2, 2))
        with_mean = two((2, 3)) + (n - 1) * two((1, 2), (1, 1))
        squared = two((2, 4)) + 2 * (n - 1) * two((1, 3), (1, 1)) + (n - 1) * two((0, 2), (2, 2))
        squared = squared + (n - 1) * (n - 2) * two((0, 2), (1, 1), (1, 1))
        return np.asarray(alone - 2 * with_mean + squared)

    def log_radial(self) -> Array:
        """E[(z_i - zbar)^2]: the same for the logarithm of softmax."""
        n, two = self.n, self.moment
        variance = np.einsum("rn,rn->r", self.z**2, self.weight)
        # the factor (1, 0) has no power of p: the integral is over e^(-tS) all the same
        with_mean = two((2, 1)) + (n - 1) * two((1, 1), (1, 0))
        squared = n * two((2, 2)) + n * (n - 1) * two((1, 1), (1, 1))
        return np.asarray(variance - 2 * with_mean + squared)

    def log_moments(self) -> tuple[Array, Array, Array]:
        """Mean, second and fourth moment of log p_1 = z_1 - log S.

        Of an exponential E that is independent of all, E / S has the survival function phi(t)^n,
        or given z_1, exp(-t e^z_1) phi(t)^(n-1); and w = z_1 + log(E / S) = log p_1 + log E is a
        sum of independent parts, so that cumulants subtract."""
        raw = np.zeros((4, len(self.z)))
        block = max(1, _MOST_VALUES // self._s[0].size // self.z.shape[1])
        phi = np.maximum(self._tables[0, 0], 1e-300)
        others = (self.n - 1) * self._tables[0, 1] / phi
        for start in range(0, len(self.z), block):
            part = slice(start, start + block)
            w = self._s[part, :, None] + self.z[part, None, :]
            u = np.exp(np.minimum(w, _LARGE))
            density = np.exp(-u) * (u + others[part, :, None])
            density *= (phi[part] ** (self.n - 1))[:, :, None] * self.weight[part, None, :]
            for k in range(4):
                raw[k, part] = (density * w ** (k + 1)).sum(axis=(1, 2)) * _STEP
        return _without_exponential(raw)


def _without_exponential(raw: Array) -> tuple[Array, Array, Array]:
    """Moments 1, 2 and 4 of log p from those of log p + log E: the cumulants of log E are -gamma,
    zeta(2), -2 zeta(3) and 6 zeta(4)."""
    one, two, three, four = raw
    mean = one + _EULER
    variance = two - one**2 - math.pi**2 / 6
    third = three - 3 * two * one + 2 * one**3 + 2 * _ZETA_3
    fourth = four - 4 * three * one + 6 * two * one**2 - 3 * one**4
    cumulant = fourth - 3 * (two - one**2) ** 2 - math.pi**4 / 15
    central = cumulant + 3 * variance**2
    whole = central + 4 * third * mean + 6 * variance * mean**2 + mean**4
    return mean, variance + mean**2, whole


_ZETA_3 = 1.2020569031595942
