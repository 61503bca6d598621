"""Coefficients of the polynomials in cpp/src/math: python tests/remez.py prints them.

Each polynomial of its degree has the least largest weighted error on its interval (Remez exchange);
the printed error is that one, before the coefficients are rounded to the precision they are for.
"""

from __future__ import annotations

import mpmath as mp

mp.mp.dps = 50
POINTS = 1200


def remez(f, low, high, degree, weight=lambda _: 1):
    """(c_0 .. c_degree), largest |weight (polynomial - f)| on [low, high]."""
    low, high = mp.mpf(low), mp.mpf(high)
    middle, radius = (low + high) / 2, (high - low) / 2
    count = degree + 2
    grid = [middle - radius * mp.cos(mp.pi * i / POINTS) for i in range(POINTS + 1)]
    values, weights = [f(x) for x in grid], [weight(x) for x in grid]
    chosen = [round(i * POINTS / (count - 1)) for i in range(count)]
    for _ in range(40):
        system = mp.matrix(count, count)
        for row, i in enumerate(chosen):
            for k in range(count - 1):
                system[row, k] = ((grid[i] - middle) / radius) ** k
            system[row, count - 1] = (-1) ** row / weights[i]
        solution = mp.lu_solve(system, mp.matrix([values[i] for i in chosen]))
        scaled = [solution[k] for k in range(count - 1)]
        error = [
            w * (mp.polyval(scaled[::-1], (x - middle) / radius) - v)
            for x, v, w in zip(grid, values, weights, strict=True)
        ]
        largest = max(abs(e) for e in error)
        if largest <= abs(solution[count - 1]) * (1 + mp.mpf("1e-3")):
            break
        runs = [[0]]
        for i in range(1, POINTS + 1):
            if (error[i] > 0) == (error[i - 1] > 0):
                runs[-1].append(i)
            else:
                runs.append([i])
        peaks = [max(run, key=lambda i: abs(error[i])) for run in runs]
        while len(peaks) > count:
            peaks.pop(0 if abs(error[peaks[0]]) < abs(error[peaks[-1]]) else -1)
        if len(peaks) < count:
            raise ArithmeticError(f"remez: {len(peaks)} alternations, {count} needed")
        chosen = peaks
    return in_powers(scaled, middle, radius), largest


def in_powers(scaled, middle, radius):
    """Coefficients of x^k from those of ((x - middle) / radius)^k."""
    powers = [mp.mpf(0)] * len(scaled)
    for c in reversed(scaled):  # powers = powers (x - middle) / radius + c
        shifted = [mp.mpf(0), *powers[:-1]]
        powers = [(s - middle * p) / radius for s, p in zip(shifted, powers, strict=True)]
        powers[0] += c
    return powers


def tail(a):
    """e^(a^2/2) Phi(-a), times 1 + a / TAIL_CENTRE."""
    return mp.exp(a * a / 2) * mp.erfc(a / mp.sqrt(2)) / 2 * (1 + a / TAIL_CENTRE)


def tail_of(w):
    """`tail` by w = (a - c) / (a + c), that is a = c (1 + w) / (1 - w)."""
    return tail(TAIL_CENTRE * (1 + w) / (1 - w))


TAIL_CENTRE = mp.mpf(4)
LAST = {"float": 13.5, "double": 38.0}  # where e^(-a^2/2) leaves the normal range
HALF = mp.log(2) / 2 * mp.mpf("1.0001")
QUARTER = (mp.pi / 4 * mp.mpf("1.0001")) ** 2


def near(series, x, limit):
    """series(x), or its limit where x is so small that it would cancel."""
    return limit if abs(x) < mp.mpf("1e-20") else series(x)


FITS = {
    "(e^-r - 1 + r) / r^2": (
        lambda x: near(lambda x: (mp.exp(-x) - 1 + x) / x**2, x, mp.mpf(1) / 2),
        -HALF,
        HALF,
        (4, 9),
    ),
    "atanh(t) / t by t^2": (
        lambda x: near(lambda x: mp.atanh(mp.sqrt(x)) / mp.sqrt(x), x, mp.mpf(1)),
        0,
        mp.mpf(1) / 9,
        (4, 10),
    ),
    "erf(x) / x by x^2": (
        lambda x: near(lambda x: mp.erf(mp.sqrt(x)) / mp.sqrt(x), x, 2 / mp.sqrt(mp.pi)),
        0,
        mp.mpf(1) / 4,
        (4, 9),
    ),
    "(sin r - r) / r^3 by r^2": (
        lambda x: near(lambda x: (mp.sin(mp.sqrt(x)) / mp.sqrt(x) - 1) / x, x, -mp.mpf(1) / 6),
        0,
        QUARTER,
        (2, 5),
    ),
    "(cos r - 1 + r^2 / 2) / r^4 by r^2": (
        lambda x: near(lambda x: (mp.cos(mp.sqrt(x)) - 1 + x / 2) / x**2, x, mp.mpf(1) / 24),
        0,
        QUARTER,
        (2, 5),
    ),
}


def show(name, kind, coefficients, error):
    print(f"{name} ({kind}), error {mp.nstr(error, 2)}")
    print("    " + ", ".join(mp.nstr(c, 9 if kind == "float" else 18) for c in coefficients))


if __name__ == "__main__":
    for name, (f, low, high, degrees) in FITS.items():
        for kind, degree in zip(("float", "double"), degrees, strict=True):
            show(name, kind, *remez(f, low, high, degree))
    for kind, degree in (("float", 9), ("double", 22)):
        last = mp.mpf(LAST[kind])
        end = (last - TAIL_CENTRE) / (last + TAIL_CENTRE)
        show("tail by w", kind, *remez(tail_of, -1, end, degree, lambda w: 1 / tail_of(w)))
