"""M1 as docs/m1.md defines it: the file NAME.isb-m1, and the CDF of the next symbol.

Written from that page alone, to be read beside it: names and order are the page's.  Several texts
are worked on at once, all at the same position, since NumPy is slow on small arrays; nothing is
computed in blocks or ahead.

NumPy's + - * / and sqrt on float32 arrays are single IEEE operations, which is what the page asks
for.  What would not be: sums by np.sum(), a float32 that meets a Python float (float64 in old
versions), np.exp().  Sums of integers are made in float64 by matrix products: they stay below
2^53, so every order of summation gives the same, exact result.
"""

import math
import struct

import numpy as np
import xxhash

BOUNDARY, N_SYMBOLS = 256, 257


def f32(x):
    return np.float32(float.fromhex(x) if isinstance(x, str) else x)


# ---- rules of arithmetic ----

def larger(a, b):
    return np.where(a > b, a, b)


def smaller(a, b):
    return np.where(a < b, a, b)


def largest(v, start):
    """max over the last axis, in turn from `start`: NaNs are passed over."""
    return np.fmax(np.fmax.reduce(v, axis=-1), f32(start))


def quantise(v):
    """v [..., n] -> q [..., n], int8 as float64 for the products; s [...]"""
    m = largest(np.abs(v), 0)
    zero = ~(m >= f32("0x1p-100"))
    inv = f32(127) / m
    q = np.rint(smaller(larger(v * inv[..., None], f32(-127)), f32(127)))
    return (np.where(zero[..., None], 0, q).astype(np.float64),
            np.where(zero, f32(0), m / f32(127)))


E_COEFFICIENTS = [f32(c) for c in ("0x1.123b6ap-7", "0x1.5558fap-5", "0x1.555490p-3",
                                   "0x1.fffffcp-2", "0x1p+0", "0x1p+0")]


def e(x):
    x = smaller(larger(x, f32(-87)), f32(88))
    t = x * f32("0x1.715476p+0") + f32("0x1.8p+23")
    n = t - f32("0x1.8p+23")
    r = (x - n * f32("0x1.62e400p-1")) - n * f32("0x1.7f7d1cp-20")
    p = f32("0x1.6a21acp-10")
    for c in E_COEFFICIENTS:
        p = p * r + c
    return np.ldexp(p, n.astype(np.int32))


# ---- the file ----

class Damaged(Exception):
    pass


class Matrix:
    def __init__(self, tensors, n, k):
        self.q = tensors.take("i1", n, k).astype(np.float64)
        self.s = tensors.take("<f4", n)

    def product(self, y, sy):
        """f32(sum_k y[k] W[n][k]) * (sy * s[n]) for y [B, k], sy [B]"""
        return (y @ self.q.T).astype(np.float32) * (sy[:, None] * self.s)


class Tensors:
    """The bytes after the header, taken one tensor after another."""

    def __init__(self, data):
        self.data, self.position = data, 0

    def take(self, dtype, *shape):
        nbytes = np.dtype(dtype).itemsize * math.prod(shape)
        piece = self.data[self.position : self.position + nbytes]
        if len(piece) != nbytes:
            raise Damaged("the M1 ends early")
        self.position += nbytes
        return np.frombuffer(piece, dtype).reshape(shape).astype(dtype.lstrip("<"))


class Layer:
    pass


class M1:
    def __init__(self, data):
        if data[:8] != b"\x89ISBM1\r\n":
            raise Damaged("this is not an M1")
        if len(data) < 136 or xxhash.xxh3_64_intdigest(data[:-8]) != int.from_bytes(data[-8:], "little"):
            raise Damaged("the M1 is damaged")
        (version, nbytes, self.C, self.H, n_layers, F, V, self.T, self.activation, self.positions,
         tied, self.eps, self.theta, name) = struct.unpack("<11Ifd32s", data[8:96])
        if (version, nbytes, V) != (1, len(data), N_SYMBOLS):
            raise Damaged(f"version {version}, {nbytes} bytes, {V} ids: not an M1 that this program reads")
        self.name = name.rstrip(b"\0").decode()
        self.identity = data[112:128]
        if self.identity != xxhash.xxh3_128_digest(b"isobit-m1-2\0" + data[16:64] + data[128:-8]):
            raise Damaged("the M1's identity is not that of its weights")
        self.D = self.C // self.H
        self.B = 15 if self.T <= 512 else 14 if self.T <= 1024 else 13 if self.T <= 2048 else 12
        self.read_tensors(Tensors(data[128:-8]), n_layers, F, tied)
        if self.positions == 0:
            self.step = turns_per_position(self.D, self.theta)

    def read_tensors(self, tensors, n_layers, F, tied):
        C, H = self.C, self.H
        self.embedding = Matrix(tensors, N_SYMBOLS, C)
        self.layers = []
        for _ in range(n_layers):
            layer = Layer()
            layer.norm1 = tensors.take("<f4", C)
            layer.qkv = Matrix(tensors, 3 * C, C)
            layer.o = Matrix(tensors, C, C)
            layer.norm2 = tensors.take("<f4", C)
            layer.gate_up = Matrix(tensors, 2 * F, C)
            layer.down = Matrix(tensors, C, F)
            layer.bias = tensors.take("<f4", H, 32) if self.positions == 1 else None
            self.layers.append(layer)
        self.norm = tensors.take("<f4", C)
        self.head = self.embedding if tied else Matrix(tensors, N_SYMBOLS, C)
        if tensors.position != len(tensors.data):
            raise Damaged("the M1 is longer than its tensors")


# ---- positions ----

LN2 = float.fromhex("0x1.62e42fefa39efp-1")


def ln(x):
    e = 0
    while x > 1.5:
        x, e = x * 0.5, e + 1
    while x < 0.7:
        x, e = x * 2, e - 1
    s = (x - 1) / (x + 1)
    s2 = s * s
    total = 0.0
    for k in range(25, 0, -2):
        total = total * s2 + 1 / k
    return (2 * s) * total + e * LN2


def exp(x):
    n = 0
    while x < -0.5 * LN2:
        x, n = x + LN2, n + 1
    total = 1.0
    for k in range(18, 0, -1):
        total = 1 + (x / k) * total
    for _ in range(n):
        total *= 0.5
    return total


def turns_per_position(D, theta):
    """For each pair of channels, in 2^-64 of a turn."""
    return [math.trunc(exp(((-ln(theta)) * (2 * i)) / D) * float.fromhex("0x1.45f306dc9c883p-3") * 2.0**64)
            for i in range(D // 2)]


def cos_sin(turns):
    turns %= 1 << 64
    quarter = ((turns + (1 << 61)) % (1 << 64)) >> 62
    rest = (turns - (quarter << 62)) % (1 << 64)
    if rest >= 1 << 63:
        rest -= 1 << 64
    x = (rest * 2.0**-64) * float.fromhex("0x1.921fb54442d18p+2")
    x2 = x * x
    s = c = 0.0
    for k in range(16, 0, -2):
        s = ((1 - s) * x2) / (k * (k + 1))
        c = ((1 - c) * x2) / (k * (k - 1))
    s, c = x * (1 - s), 1 - c
    return [(c, s), (-s, c), (-c, -s), (s, -c)][quarter]


def angles(m1, p):
    """Cosines and sines of position p, [D / 2] each."""
    pairs = [cos_sin(p * step) for step in m1.step]
    return (np.array([c for c, _ in pairs]).astype(np.float32),
            np.array([s for _, s in pairs]).astype(np.float32))


FIRST_OF_BUCKET = list(range(16)) + [16, 19, 21, 24, 27, 31, 35, 40, 46, 52, 59, 67, 77, 87, 99, 113]


def bucket(distance):
    return np.searchsorted(FIRST_OF_BUCKET, distance, side="right") - 1


# ---- the network ----

def norm(x, g, eps):
    C = x.shape[-1]
    a = np.zeros((len(x), 16), np.float32)
    for i in range(0, C, 16):
        a = a + x[:, i : i + 16] * x[:, i : i + 16]
    for h in (8, 4, 2, 1):
        a = a[:, :h] + a[:, h : 2 * h]
    r = f32(1) / np.sqrt(a[:, 0] / f32(C) + f32(eps))
    y, s = quantise(x * g)
    return y, s * r


def rotate(x, cos, sin):
    """x: [B, H, D]"""
    a, b = np.split(x, 2, axis=-1)
    return np.concatenate([a * cos - b * sin, b * cos + a * sin], axis=-1)


class Streams:
    """B texts, all at position p.  Keys and values of the last T positions: position j is in slot j % T."""

    def __init__(self, m1, B, n_positions):
        self.m1, self.B, self.p = m1, B, 0
        self.n_slots = min(m1.T, n_positions)
        L, H, D = len(m1.layers), m1.H, m1.D
        self.kq = np.zeros((L, B, H, self.n_slots, D))
        self.vq = np.zeros((L, B, H, self.n_slots, D))
        self.ks = np.zeros((L, B, H, self.n_slots), np.float32)
        self.vs = np.zeros((L, B, H, self.n_slots), np.float32)

    def attention(self, index, q, bias):
        """q [B, H, D] -> o [B, C]"""
        m1 = self.m1
        n = min(self.p + 1, self.n_slots)
        kq, vq = self.kq[index, :, :, :n], self.vq[index, :, :, :n]
        ks, vs = self.ks[index, :, :, :n], self.vs[index, :, :, :n]
        qq, qs = quantise(q)
        a = qs * (f32(1) / np.sqrt(f32(m1.D)))
        t = (kq @ qq[..., None])[..., 0].astype(np.float32) * (a[..., None] * ks)
        if bias is not None:
            distance = (self.p - np.arange(n)) % self.n_slots
            t = t + bias[:, bucket(distance)]
        w = e(t - largest(t, -np.inf)[..., None])
        z = np.rint(w * f32(2**19)).astype(np.float64).sum(axis=-1)
        w = w * vs
        top = largest(w, 0)
        c = f32(2**m1.B - 1) / top
        b = np.rint(w * c[..., None]).astype(np.float64)
        sums = (b[..., None, :] @ vq)[..., 0, :].astype(np.float32)
        o = sums * (f32(1) / (c * (z.astype(np.float32) * f32("0x1p-19"))))[..., None]
        usual = (top >= f32("0x1p-100")) & (top < np.inf)
        return np.where(usual[..., None], o, f32(0)).reshape(self.B, m1.C)

    def layer(self, index, x):
        m1, layer = self.m1, self.m1.layers[index]
        y, sy = norm(x, layer.norm1, m1.eps)
        q, k, v = np.split(layer.qkv.product(y, sy).reshape(self.B, 3 * m1.H, m1.D), 3, axis=1)
        if m1.positions == 0:
            q, k = rotate(q, *self.angles), rotate(k, *self.angles)
        slot = self.p % self.n_slots
        self.kq[index, :, :, slot], self.ks[index, :, :, slot] = quantise(k)
        self.vq[index, :, :, slot], self.vs[index, :, :, slot] = quantise(v)
        x = x + layer.o.product(*quantise(self.attention(index, q, layer.bias)))
        g, u = np.split(layer.gate_up.product(*norm(x, layer.norm2, m1.eps)), 2, axis=1)
        act = g / (f32(1) + e(-g)) if m1.activation == 0 else larger(g, f32(0))
        return x + layer.down.product(*quantise(act * u))

    def next(self, ids):
        """Takes an id for each text, gives the CDFs of what comes next: [B, 258]"""
        m1 = self.m1
        with np.errstate(all="ignore"):
            if m1.positions == 0:
                self.angles = angles(m1, self.p)
            x = m1.embedding.q[ids].astype(np.float32) * m1.embedding.s[ids][:, None]
            for index in range(len(m1.layers)):
                x = self.layer(index, x)
            z = m1.head.product(*norm(x, m1.norm, m1.eps))
            assert z.dtype == np.float32
            self.p += 1
            return cdfs(z)


def cdfs(z):
    """From logits to integers: [B, 257] -> [B, 258]"""
    w = np.trunc(e(z - largest(z, -np.inf)[:, None]) * f32(2**22)).astype(np.int64)
    w[w.sum(axis=1) == 0, 0] = 1
    r = 65279.0 / w.sum(axis=1)
    n = 1 + np.trunc(w * r[:, None]).astype(np.int64)
    n[np.arange(len(n)), w.argmax(axis=1)] += 65536 - n.sum(axis=1)
    return np.concatenate([np.zeros((len(n), 1), np.int64), n.cumsum(axis=1)], axis=1)
