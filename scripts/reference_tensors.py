#!/usr/bin/env python3
"""Writes tests/golden/model_reference.txt: the transformer computed by NumPy in float64, without a line of isobit.

    pip install numpy
    scripts/reference_tensors.py > tests/golden/model_reference.txt

Weights, inputs and targets come from formulas, so that the file holds results only: logits, token losses, the norm, sum and
some entries of every gradient, and ten losses of training with AdamW.  Before it writes, the script compares its own
gradients with central differences.

Sources: Touvron et al. 2023 (Llama), Su et al. 2021 (rotary positions, halves paired as Hugging Face does), Raffel et al.
2020 (T5's buckets), Shazeer 2020 (gated MLP), Loshchilov and Hutter 2019 (AdamW).
"""
import sys

import numpy as np

MODELS = [
    dict(name="llama", V=23, C=16, H=2, L=2, F=24, T=12, B=2, position="rope", act="silu", tie=1, theta=50.0, eps=1e-5, docs=0),
    dict(name="paper", V=19, C=12, H=3, L=2, F=20, T=21, B=2, position="t5", act="relu", tie=0, theta=10000.0, eps=1e-6, docs=1),
]
Z_WEIGHT, LR, BETA1, BETA2, ADAM_EPS, DECAY, STEPS = 1e-3, 3e-3, 0.9, 0.95, 1e-8, 0.1, 10


# ---- what the C test computes by the same formulas ----

def tensors(c):
    """(name, rows, cols, mean, amplitude) in the order of Hugging Face's Llama; rows 1 for vectors."""
    yield "model.embed_tokens.weight", c["V"], c["C"], 0.0, 0.8
    for l in range(c["L"]):
        p = f"model.layers.{l}."
        yield p + "input_layernorm.weight", 1, c["C"], 1.0, 0.3
        for x in "qkvo":
            yield p + f"self_attn.{x}_proj.weight", c["C"], c["C"], 0.0, 0.6
        yield p + "post_attention_layernorm.weight", 1, c["C"], 1.0, 0.3
        yield p + "mlp.gate_proj.weight", c["F"], c["C"], 0.0, 0.6
        yield p + "mlp.up_proj.weight", c["F"], c["C"], 0.0, 0.6
        yield p + "mlp.down_proj.weight", c["C"], c["F"], 0.0, 0.6
        if c["position"] == "t5":
            yield p + "self_attn.relative_attention_bias.weight", c["H"], 32, 0.0, 1.0
    yield "model.norm.weight", 1, c["C"], 1.0, 0.3
    if not c["tie"]:
        yield "lm_head.weight", c["V"], c["C"], 0.0, 0.8


def formula(k, n, mean, amplitude):
    """Element i of tensor k: a fraction of a large sine, as float32."""
    v = np.sin(12.9898 * (np.arange(n) + 1) + 78.233 * (k + 1)) * 43758.5453
    return (mean + amplitude * (2 * (v - np.floor(v)) - 1)).astype(np.float32).astype(np.float64)


def batch(c):
    b, t = np.meshgrid(np.arange(c["B"]), np.arange(c["T"]), indexing="ij")
    ids = lambda t: (5 * b + 7 * t + t * t) % c["V"]
    targets = np.where((b + t) % 5 == 4, -1, ids(t + 1))
    return ids(t), targets, t - t % 8 if c["docs"] else 0 * t


# ---- layers ----

def norm(x, g, eps):
    r = 1 / np.sqrt((x * x).mean(-1, keepdims=True) + eps)
    return x * r * g, r


def norm_backward(dy, x, g, r):
    dg = (dy * x * r).sum((0, 1))
    return r * dy * g - x * r**3 * (dy * g * x).mean(-1, keepdims=True), dg


def rotate(x, theta, sign):
    """x [B, H, T, D]: channels i and i + D/2 turn by t * theta^(-2i/D)."""
    D, T = x.shape[-1], x.shape[-2]
    angle = np.arange(T)[:, None] * theta ** (-2 * np.arange(D // 2) / D)[None]
    cos, sin = np.cos(angle), sign * np.sin(angle)
    a, b = x[..., : D // 2], x[..., D // 2:]
    return np.concatenate([a * cos - b * sin, b * cos + a * sin], -1)


def buckets(T):
    d = np.maximum(np.arange(T)[:, None] - np.arange(T)[None], 0)
    far = 16 + np.floor(np.log(np.maximum(d, 16) / 16) / np.log(8) * 16 + 1e-9).astype(int)
    return np.where(d < 16, d, np.minimum(far, 31))


def split(x, H):
    B, T, C = x.shape
    return x.reshape(B, T, H, C // H).transpose(0, 2, 1, 3)


def join(x):
    B, H, T, D = x.shape
    return x.transpose(0, 2, 1, 3).reshape(B, T, H * D)


def attention(c, w, p, n, starts):
    q, k, v = (split(n @ w[p + f"self_attn.{x}_proj.weight"].T, c["H"]) for x in "qkv")
    if c["position"] == "rope":
        q, k = rotate(q, c["theta"], 1), rotate(k, c["theta"], 1)
    s = q @ k.transpose(0, 1, 3, 2) / np.sqrt(q.shape[-1])
    if c["position"] == "t5":
        s = s + w[p + "self_attn.relative_attention_bias.weight"][:, buckets(c["T"])][None]
    t = np.arange(c["T"])
    seen = (t[None, None] <= t[None, :, None]) & (t[None, None] >= starts[:, :, None])
    s = np.where(seen[:, None], s, -np.inf)
    e = np.exp(s - s.max(-1, keepdims=True))
    P = e / e.sum(-1, keepdims=True)
    return q, k, v, P, join(P @ v)


def attention_backward(c, w, p, n, q, k, v, P, dy, grads):
    dy = split(dy, c["H"])
    dv = P.transpose(0, 1, 3, 2) @ dy
    dP = dy @ v.transpose(0, 1, 3, 2)
    dS = P * (dP - (P * dP).sum(-1, keepdims=True))
    if c["position"] == "t5":
        table = np.zeros((c["H"], 32))
        for h in range(c["H"]):
            np.add.at(table[h], buckets(c["T"]), dS[:, h].sum(0))
        grads[p + "self_attn.relative_attention_bias.weight"] = table
    scale = 1 / np.sqrt(q.shape[-1])
    dq, dk = dS @ k * scale, dS.transpose(0, 1, 3, 2) @ q * scale
    if c["position"] == "rope":
        dq, dk = rotate(dq, c["theta"], -1), rotate(dk, c["theta"], -1)
    dn = 0
    for x, d in zip("qkv", (dq, dk, dv)):
        name = p + f"self_attn.{x}_proj.weight"
        grads[name] = outer(join(d), n)
        dn = dn + join(d) @ w[name]
    return dn


def outer(dy, x):
    return np.einsum("bto,bti->oi", dy, x)


def act(c, a):
    if c["act"] == "relu":
        return np.maximum(a, 0), (a > 0).astype(float)
    s = 1 / (1 + np.exp(-a))
    return a * s, s + a * s * (1 - s)


# ---- the model: loss, and its gradient by every tensor ----

def run(c, w, ids, targets, starts, scale):
    """Sum of nats, sum of lse^2, token losses, logits, gradients of scale * (nats + Z_WEIGHT * z)."""
    x, kept = w["model.embed_tokens.weight"][ids], []
    for l in range(c["L"]):
        p = f"model.layers.{l}."
        n1, r1 = norm(x, w[p + "input_layernorm.weight"], c["eps"])
        q, k, v, P, y = attention(c, w, p, n1, starts)
        mid = x + y @ w[p + "self_attn.o_proj.weight"].T
        n2, r2 = norm(mid, w[p + "post_attention_layernorm.weight"], c["eps"])
        gate, up = n2 @ w[p + "mlp.gate_proj.weight"].T, n2 @ w[p + "mlp.up_proj.weight"].T
        h = act(c, gate)[0] * up
        kept.append((x, n1, r1, q, k, v, P, y, mid, n2, r2, gate, up, h))
        x = mid + h @ w[p + "mlp.down_proj.weight"].T
    n, r = norm(x, w["model.norm.weight"], c["eps"])
    head = "model.embed_tokens.weight" if c["tie"] else "lm_head.weight"
    logits = n @ w[head].T
    most = logits.max(-1, keepdims=True)
    lse = (most + np.log(np.exp(logits - most).sum(-1, keepdims=True)))[..., 0]
    on = targets >= 0
    onehot = np.eye(c["V"])[np.maximum(targets, 0)]
    nats = np.where(on, lse - (logits * onehot).sum(-1), 0)
    z = (np.where(on, lse, 0) ** 2).sum()

    grads = {}
    p_all = np.exp(logits - lse[..., None])
    dz = scale * on[..., None] * (p_all - onehot + 2 * Z_WEIGHT * lse[..., None] * p_all)
    grads[head] = outer(dz, n)
    dx, grads["model.norm.weight"] = norm_backward(dz @ w[head], x, w["model.norm.weight"], r)
    for l in reversed(range(c["L"])):
        p = f"model.layers.{l}."
        x, n1, r1, q, k, v, P, y, mid, n2, r2, gate, up, h = kept[l]
        dh = dx @ w[p + "mlp.down_proj.weight"]
        grads[p + "mlp.down_proj.weight"] = outer(dx, h)
        a, da = act(c, gate)
        dgate, dup = dh * up * da, dh * a
        grads[p + "mlp.gate_proj.weight"], grads[p + "mlp.up_proj.weight"] = outer(dgate, n2), outer(dup, n2)
        dn = dgate @ w[p + "mlp.gate_proj.weight"] + dup @ w[p + "mlp.up_proj.weight"]
        dmid, grads[p + "post_attention_layernorm.weight"] = norm_backward(dn, mid, w[p + "post_attention_layernorm.weight"], r2)
        dx = dx + dmid
        grads[p + "self_attn.o_proj.weight"] = outer(dx, y)
        dn = attention_backward(c, w, p, n1, q, k, v, P, dx @ w[p + "self_attn.o_proj.weight"], grads)
        dn, grads[p + "input_layernorm.weight"] = norm_backward(dn, x, w[p + "input_layernorm.weight"], r1)
        dx = dx + dn
    embed = grads.get("model.embed_tokens.weight", np.zeros((c["V"], c["C"]))).copy()
    np.add.at(embed, ids, dx)
    grads["model.embed_tokens.weight"] = embed
    return nats.sum(), z, nats, logits, grads


def self_check(c, w, data):
    loss = lambda: (lambda r: r[0] + Z_WEIGHT * r[1])(run(c, w, *data, 1.0))
    grads = run(c, w, *data, 1.0)[4]
    for name, x in w.items():
        flat, g = x.reshape(-1), grads[name].reshape(-1)
        for i in range(0, flat.size, max(1, flat.size // 5)):
            was, h = flat[i], 1e-6
            flat[i] = was + h
            above = loss()
            flat[i] = was - h
            below = loss()
            flat[i] = was
            wanted = (above - below) / (2 * h)
            assert abs(wanted - g[i]) < 1e-6 * (1 + abs(g).max()), (name, i, wanted, g[i])


def train(c, w, data):
    """Mean losses (without z) before each of STEPS updates by AdamW; decay on matrices, not on norms and biases."""
    n_targets = (data[1] >= 0).sum()
    m = {k: np.zeros_like(v) for k, v in w.items()}
    v = {k: np.zeros_like(x) for k, x in w.items()}
    losses = []
    for step in range(1, STEPS + 1):
        nats, _, _, _, grads = run(c, w, *data, 1.0 / n_targets)
        losses.append(nats / n_targets)
        for k in w:
            m[k] = BETA1 * m[k] + (1 - BETA1) * grads[k]
            v[k] = BETA2 * v[k] + (1 - BETA2) * grads[k] ** 2
            update = m[k] / (1 - BETA1**step) / (np.sqrt(v[k] / (1 - BETA2**step)) + ADAM_EPS)
            decay = 0 if "norm" in k or "bias" in k else DECAY
            w[k] = w[k] - LR * (update + decay * w[k])
    return losses


def numbers(values):
    return " ".join(f"{x:.9g}" for x in np.asarray(values).reshape(-1))


def write(c, out):
    w = {}
    for k, (name, rows, cols, mean, amplitude) in enumerate(tensors(c)):
        values = formula(k, rows * cols, mean, amplitude)
        w[name] = values if rows == 1 else values.reshape(rows, cols)
    data = batch(c)
    self_check(c, w, data)
    nats, z, token_nats, logits, grads = run(c, w, *data, 1.0)
    print("model", c["name"], *(c[k] for k in "V C H L F T B".split()), int(c["position"] == "t5"), int(c["act"] == "relu"),
          c["tie"], c["docs"], f"{c['theta']:.9g} {c['eps']:.9g}", file=out)
    for name, rows, cols, mean, amplitude in tensors(c):
        g = grads[name].reshape(-1)
        some = range(0, g.size, max(1, g.size // 8))
        print("tensor", name, rows, cols, mean, amplitude, numbers([np.sqrt((g * g).sum()), g.sum()]), len(some),
              " ".join(f"{i} {g[i]:.9g}" for i in some), file=out)
    print("loss", Z_WEIGHT, numbers([nats, z]), file=out)
    print("token_nats", token_nats.size, numbers(token_nats), file=out)
    if not c["docs"]:
        print("logits", c["B"] - 1, c["T"] - 1, c["V"], numbers(logits[-1, -1]), file=out)
    print("training", LR, BETA1, BETA2, ADAM_EPS, DECAY, STEPS, numbers(train(c, w, data)), file=out)


if __name__ == "__main__":
    print("isobit-model-reference 1")
    for model in MODELS:
        write(model, sys.stdout)
