#!/usr/bin/env python3
"""Coefficients of src/kernels/ref/exp.h: e^r ~ 1 + r + r^2 (c2 + c3 r + ... + c6 r^4), least largest relative error.

Remez exchange on |r| <= ln(2)/2 with a little slack.  Prints the float32 values and the error reached.
"""
import math
import struct

LIMIT, DEGREE = 0.3475, 6


def solve(rows):
    """Gaussian elimination with pivoting; each row ends with its right-hand side."""
    size = len(rows)
    for i in range(size):
        pivot = max(range(i, size), key=lambda r: abs(rows[r][i]))
        rows[i], rows[pivot] = rows[pivot], rows[i]
        for r in range(size):
            if r != i:
                factor = rows[r][i] / rows[i][i]
                rows[r] = [x - factor * y for x, y in zip(rows[r], rows[i])]
    return [rows[i][size] / rows[i][i] for i in range(size)]


def error(coefficients, r):
    value = 1 + r + sum(c * r ** k for k, c in enumerate(coefficients, 2))
    return value * math.exp(-r) - 1


def fit():
    count = DEGREE  # 5 coefficients and the level of the error
    points = [LIMIT * math.cos(math.pi * (i + 0.5) / count) for i in range(count)]
    grid = [LIMIT * (2 * i / 20000 - 1) for i in range(20001)]
    for _ in range(30):
        rows = [[r ** k * math.exp(-r) for k in range(2, DEGREE + 1)] + [(-1) ** i, 1 - (1 + r) * math.exp(-r)]
                for i, r in enumerate(points)]
        coefficients = solve(rows)[:-1]
        errors = [error(coefficients, r) for r in grid]
        peaks = []  # one extremum per run of equal sign
        for r, e in zip(grid, errors):
            if peaks and (peaks[-1][1] > 0) == (e > 0):
                if abs(e) > abs(peaks[-1][1]):
                    peaks[-1] = (r, e)
            else:
                peaks.append((r, e))
        peaks = sorted(sorted(peaks, key=lambda p: -abs(p[1]))[:count])
        if len(peaks) < count:
            break
        points = [p[0] for p in peaks]
    return coefficients, max(abs(e) for e in errors)


def float32(x):
    return struct.unpack("f", struct.pack("f", x))[0]


coefficients, worst = fit()
for k, c in enumerate(coefficients, 2):
    print(f"C{k} {float32(c).hex()}  ({c:.9g})")
rounded = [float32(c) for c in coefficients]
after = max(abs(error(rounded, LIMIT * (2 * i / 20000 - 1))) for i in range(20001))
print(f"largest relative error {worst:.3g}, with rounded coefficients {after:.3g}; 2^-24 is {2 ** -24:.3g}")
hi = math.floor(math.log(2) * 2 ** 15) / 2 ** 15
print(f"ln2 hi {hi.hex()} lo {float32(math.log(2) - hi).hex()}  log2e {float32(1 / math.log(2)).hex()}")
