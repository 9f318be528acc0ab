"""One training step of PyTorch on the shapes of our presets: a model of the same form (RMS norm, rotary positions, gated
SiLU, tied embeddings), bf16 autocast, clipping to a norm of 1, fused AdamW.  bench/train_peers.py starts it.

    train_torch.py --size 3m --vocab 257 --way WAY --rows 8 --context 512 --threads 2

prints a line when warm, and then for each line of input, a number of seconds, runs steps for so long and prints their times
in ms as a JSON list.  WAY is eager or compile, with the head after a dash:

    plain     logits as one matrix, cross_entropy, z-loss
    chunks    512 tokens at a time, made again in the backward pass (torch.utils.checkpoint)
    fused     torch.nn.functional.linear_cross_entropy, in its chunks; without z-loss, which it has no room for
"""
from __future__ import annotations

import argparse
import json
import sys
import time

import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.utils.checkpoint import checkpoint

SIZES = {"nano": (128, 2, 4, 512), "3m": (256, 3, 4, 1024), "25m": (512, 6, 8, 2048)}  # C, layers, heads, F
Z_WEIGHT = 1e-4
CHUNK = 512


class Block(nn.Module):
    def __init__(self, width: int, n_heads: int, hidden: int) -> None:
        super().__init__()
        self.n_heads = n_heads
        self.norm1, self.norm2 = nn.RMSNorm(width, eps=1e-5), nn.RMSNorm(width, eps=1e-5)
        self.qkv, self.o = nn.Linear(width, 3 * width, bias=False), nn.Linear(width, width, bias=False)
        self.gate_up, self.down = nn.Linear(width, 2 * hidden, bias=False), nn.Linear(hidden, width, bias=False)

    def forward(self, x: torch.Tensor, cosines: torch.Tensor, sines: torch.Tensor) -> torch.Tensor:
        rows, context, width = x.shape
        shape = (rows, context, 3, self.n_heads, width // self.n_heads)
        q, k, v = self.qkv(self.norm1(x)).view(shape).permute(2, 0, 3, 1, 4)

        def rotate(t: torch.Tensor) -> torch.Tensor:
            a, b = t.chunk(2, -1)
            return torch.cat([a * cosines - b * sines, b * cosines + a * sines], -1).to(v.dtype)

        y = F.scaled_dot_product_attention(rotate(q), rotate(k), v, is_causal=True)
        x = x + self.o(y.transpose(1, 2).reshape(rows, context, width))
        gate, up = self.gate_up(self.norm2(x)).chunk(2, -1)
        return x + self.down(F.silu(gate) * up)


def loss_of(x: torch.Tensor, weight: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Sum of the cross-entropy and z-loss of some tokens."""
    logits = F.linear(x, weight).float()
    z = torch.logsumexp(logits, -1).square().sum()
    return F.cross_entropy(logits, targets, reduction="sum") + Z_WEIGHT * z


class Model(nn.Module):
    def __init__(self, size: str, vocab: int, context: int, head: str) -> None:
        super().__init__()
        width, n_layers, n_heads, hidden = SIZES[size]
        self.head = head
        self.embed = nn.Embedding(vocab, width)
        self.blocks = nn.ModuleList(Block(width, n_heads, hidden) for _ in range(n_layers))
        self.norm = nn.RMSNorm(width, eps=1e-5)
        for p in self.parameters():
            if p.dim() > 1:
                nn.init.normal_(p, std=0.02)
        pairs = torch.arange(0, width // n_heads, 2) / (width // n_heads)
        angles = torch.arange(context)[:, None] * 10000.0**-pairs[None]
        self.register_buffer("cosines", angles.cos())
        self.register_buffer("sines", angles.sin())

    def forward(self, ids: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        x = self.embed(ids)
        for block in self.blocks:
            x = block(x, self.cosines, self.sines)
        x, targets, weight = self.norm(x).flatten(0, 1), targets.flatten(), self.embed.weight
        if self.head == "plain":
            return loss_of(x, weight, targets) / len(targets)
        if self.head == "fused":
            options = nn.LinearCrossEntropyOptions()
            return F.linear_cross_entropy(x.bfloat16(), weight.bfloat16(), targets, options=options)
        parts = [
            checkpoint(loss_of, x[i : i + CHUNK], weight, targets[i : i + CHUNK], use_reentrant=False)
            for i in range(0, len(targets), CHUNK)
        ]
        return torch.stack(parts).sum() / len(targets)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--size", choices=SIZES, required=True)
    parser.add_argument("--vocab", type=int, required=True)
    parser.add_argument("--way", required=True)
    parser.add_argument("--rows", type=int, default=8)
    parser.add_argument("--context", type=int, default=512)
    parser.add_argument("--threads", type=int, required=True)
    options = parser.parse_args()
    how, head = options.way.split("-")
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    model = Model(options.size, options.vocab, options.context, head)
    forward = torch.compile(model) if how == "compile" else model
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, betas=(0.9, 0.95), weight_decay=0.1, fused=True)
    ids = torch.randint(0, options.vocab, (options.rows, options.context + 1))
    inputs, targets = ids[:, :-1].contiguous(), ids[:, 1:].contiguous()

    def step() -> float:
        begin = time.perf_counter()
        with torch.autocast("cpu", torch.bfloat16):
            loss = forward(inputs, targets)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        loss.item()
        return 1e3 * (time.perf_counter() - begin)

    step(), step()
    print(json.dumps({"version": torch.__version__}), flush=True)
    for line in sys.stdin:
        times: list[float] = []
        while sum(times) < 1e3 * float(line) or len(times) < 2:
            times.append(step())
        print(json.dumps(times), flush=True)


if __name__ == "__main__":
    main()
