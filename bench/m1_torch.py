"""M1's network in PyTorch on the CPU, with random weights: what a code asks of it.  bench/m1_peers.sh starts it.

    m1_torch.py --size nano --dtype bfloat16 --how eager --threads 2 [--context 256] [--streams 64] [--seconds 2]

prints two JSON lines:

    score    whole sequences of `context` bytes of all streams at once, as an encoder may; a byte has context/2 before it on average
    step     one byte of every stream, with caches of keys and values that hold the whole context, as a decoder must

Both end in the probabilities of the next byte, in float32.  PyTorch's are not the same bits on every machine, so this is a
measure of speed alone: no decoder could trust them.
"""
from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable

import torch
import torch.nn as nn
import torch.nn.functional as F

SIZES = {"nano": (128, 2, 4, 512), "3m": (256, 3, 4, 1024), "25m": (512, 6, 8, 2048)}  # C, layers, heads, F
VOCAB = 257


def rotate(t: torch.Tensor, cosines: torch.Tensor, sines: torch.Tensor) -> torch.Tensor:
    a, b = t.chunk(2, -1)
    return torch.cat([a * cosines - b * sines, b * cosines + a * sines], -1)


class Block(nn.Module):
    def __init__(self, width: int, n_heads: int, hidden: int) -> None:
        super().__init__()
        self.n_heads = n_heads
        self.norm1, self.norm2 = nn.RMSNorm(width, eps=1e-6), nn.RMSNorm(width, eps=1e-6)
        self.qkv, self.o = nn.Linear(width, 3 * width, bias=False), nn.Linear(width, width, bias=False)
        self.gate_up, self.down = nn.Linear(width, 2 * hidden, bias=False), nn.Linear(hidden, width, bias=False)

    def heads(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        rows, n, width = x.shape
        return self.qkv(self.norm1(x)).view(rows, n, 3, self.n_heads, width // self.n_heads).permute(2, 0, 3, 1, 4).unbind(0)

    def rest(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        x = x + self.o(y.transpose(1, 2).reshape(x.shape))
        gate, up = self.gate_up(self.norm2(x)).chunk(2, -1)
        return x + self.down(F.silu(gate) * up)


class Model(nn.Module):
    def __init__(self, size: str, context: int) -> None:
        super().__init__()
        width, n_layers, n_heads, hidden = SIZES[size]
        self.embed = nn.Embedding(VOCAB, width)
        self.blocks = nn.ModuleList(Block(width, n_heads, hidden) for _ in range(n_layers))
        self.norm = nn.RMSNorm(width, eps=1e-6)
        for p in self.parameters():
            if p.dim() > 1:
                nn.init.normal_(p, std=0.02)
        self.head_size = width // n_heads
        pairs = torch.arange(0, self.head_size, 2) / self.head_size
        angles = torch.arange(context)[:, None] * 10000.0**-pairs[None]
        self.register_buffer("cosines", angles.cos())
        self.register_buffer("sines", angles.sin())

    def caches(self, streams: int, context: int) -> list[torch.Tensor]:
        shape = (2, streams, self.blocks[0].n_heads, context, self.head_size)
        return [torch.randn(shape, dtype=self.embed.weight.dtype) for _ in self.blocks]

    def probabilities(self, x: torch.Tensor) -> torch.Tensor:
        return F.linear(self.norm(x), self.embed.weight).float().softmax(-1)

    def score(self, ids: torch.Tensor) -> torch.Tensor:
        x = self.embed(ids)
        for block in self.blocks:
            q, k, v = block.heads(x)
            q, k = rotate(q, self.cosines, self.sines), rotate(k, self.cosines, self.sines)
            x = block.rest(x, F.scaled_dot_product_attention(q, k, v, is_causal=True))
        return self.probabilities(x)

    def step(self, ids: torch.Tensor, at: torch.Tensor, caches: list[torch.Tensor]) -> torch.Tensor:
        """ids [streams, 1], the byte at place `at` of caches that are full."""
        x = self.embed(ids)
        cosines, sines = self.cosines[at], self.sines[at]
        for block, cache in zip(self.blocks, caches):
            q, k, v = block.heads(x)
            cache[0].index_copy_(2, at, rotate(k, cosines, sines))
            cache[1].index_copy_(2, at, v)
            y = F.scaled_dot_product_attention(rotate(q, cosines, sines), cache[0], cache[1])
            x = block.rest(x, y)
        return self.probabilities(x)


def seconds_of(call: Callable[[], torch.Tensor], budget_s: float) -> float:
    """The median time of a call; the first ones compile, and are not counted."""
    for _ in range(3):
        call()
    times: list[float] = []
    while sum(times) < budget_s or len(times) < 3:
        begin = time.perf_counter()
        call()
        times.append(time.perf_counter() - begin)
    return statistics.median(times)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--size", choices=SIZES, required=True)
    parser.add_argument("--dtype", choices=["float32", "bfloat16"], required=True)
    parser.add_argument("--how", choices=["eager", "compile"], required=True)
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--context", type=int, default=256)
    parser.add_argument("--streams", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    model = Model(options.size, options.context).to(getattr(torch, options.dtype)).eval()
    score = torch.compile(model.score) if options.how == "compile" else model.score
    step = torch.compile(model.step) if options.how == "compile" else model.step
    ids = torch.randint(0, VOCAB, (options.streams, options.context))
    caches = model.caches(options.streams, options.context)
    at = torch.tensor([options.context - 1])
    calls = {
        "score": (lambda: score(ids), options.streams * options.context),
        "step": (lambda: step(ids[:, :1], at, caches), options.streams),
    }
    with torch.inference_mode():
        for name, (call, n_bytes) in calls.items():
            rate = n_bytes / seconds_of(call, options.seconds)
            result = {"engine": f"torch {torch.__version__}", "size": options.size, "way": f"{options.how} {options.dtype}"}
            result |= {"threads": options.threads, "context": options.context, "streams": options.streams}
            print(json.dumps(result | {"what": name, "mb_per_s": round(1e-6 * rate, 5)}), flush=True)


if __name__ == "__main__":
    main()
