"""Whole training steps beside PyTorch's (bench/train_peers.sh has the options).

Timed is a step: forward, backward, the norm of the gradients, clipping, AdamW; 8 rows of 512 tokens, bf16 products.
PyTorch's ways (train_torch.py: eager and compiled, with each form of the head) are each tried for a few steps, and the
fastest is the peer.  Then rounds: isobit, PyTorch, isobit, ... in one run, so load on a shared machine falls on both.  The
ratio is the median over rounds of PyTorch's step over ours.
"""
from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
from pathlib import Path

BENCH = Path(__file__).parent
ROWS, CONTEXT = 8, 512


class Torch:
    """PyTorch in a process of its own, warm, waiting for rounds."""

    def __init__(self, options: argparse.Namespace, size: str, vocab: int, way: str) -> None:
        self.way = way
        command = [sys.executable, BENCH / "train_torch.py", "--size", size, "--vocab", vocab, "--way", way]
        command += ["--rows", ROWS, "--context", CONTEXT, "--threads", options.threads]
        self.process = subprocess.Popen(
            [str(part) for part in command], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.version = self.read()["version"]

    def read(self):
        line = self.process.stdout.readline()
        if not line:
            raise ChildProcessError(f"train_torch.py {self.way} ended")
        return json.loads(line)

    def run(self, seconds: float) -> list[float]:
        print(seconds, file=self.process.stdin, flush=True)
        return self.read()

    def end(self) -> None:
        self.process.stdin.close()
        self.process.wait()


def run_isobit(options: argparse.Namespace, size: str, vocab: int) -> float:
    command = [options.build / "bench" / "bench_train", "--threads", options.threads, "--size", size]
    command += ["--vocab", vocab, "--rows", ROWS, "--context", CONTEXT, "--seconds", options.seconds]
    command += ["--optimizer", "--json"]
    return json.loads(subprocess.check_output([str(part) for part in command], text=True))["median_ms"]


def fastest_torch(options: argparse.Namespace, size: str, vocab: int) -> tuple[Torch, dict[str, float]]:
    best, best_ms, tried = None, float("inf"), {}
    heads = ["plain"] if vocab < 10000 else ["plain", "chunks", "fused"]
    for way in options.ways or [f"{how}-{head}" for how in ("eager", "compile") for head in heads]:
        try:
            torch = Torch(options, size, vocab, way)
        except ChildProcessError as error:  # no compiler, or not enough memory: say so and go on
            print(f"{size}/{vocab}: {error}", file=sys.stderr)
            continue
        ms = tried[way] = min(torch.run(options.seconds))
        slower = torch if ms >= best_ms else best
        if ms < best_ms:
            best, best_ms = torch, ms
        if slower is not None:
            slower.end()
    if best is None:
        sys.exit("train_peers: no way of PyTorch runs here")
    return best, tried


def run_case(options: argparse.Namespace, size: str, vocab: int) -> dict:
    torch, tried = fastest_torch(options, size, vocab)
    ours, theirs = [], []
    for _ in range(options.rounds):
        ours.append(run_isobit(options, size, vocab))
        theirs.append(statistics.median(torch.run(options.seconds)))
    torch.end()
    n_tokens = ROWS * CONTEXT
    return {
        "size": size,
        "vocab": vocab,
        "threads": options.threads,
        "isobit_ms": statistics.median(ours),
        "isobit_best_ms": min(ours),
        "torch_ms": statistics.median(theirs),
        "torch_best_ms": min(theirs),
        "isobit_tokens_per_s": 1e3 * n_tokens / statistics.median(ours),
        "torch_tokens_per_s": 1e3 * n_tokens / statistics.median(theirs),
        "ratio": statistics.median(b / a for a, b in zip(ours, theirs)),
        "torch": torch.version,
        "way": torch.way,
        "tried_ms": tried,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", type=Path, default=Path("build"))
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--sizes", default="3m,25m")
    parser.add_argument("--vocabs", default="257,65537")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--ways", type=lambda text: text.split(","), help="eager-plain, compile-fused, ...")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    if not options.json:
        print(f"{'size':5} {'ids':>6} {'isobit ms':>10} {'best':>8} {'torch ms':>10} {'best':>8} {'isobit tok/s':>13} "
              f"{'torch tok/s':>12} {'ratio':>6}  torch's way")
    for size in options.sizes.split(","):
        for vocab in map(int, options.vocabs.split(",")):
            r = run_case(options, size, vocab)
            if options.json:
                print(json.dumps(r), flush=True)
                continue
            print(f"{size:5} {vocab:6} {r['isobit_ms']:10.1f} {r['isobit_best_ms']:8.1f} {r['torch_ms']:10.1f} "
                  f"{r['torch_best_ms']:8.1f} {r['isobit_tokens_per_s']:13.0f} {r['torch_tokens_per_s']:12.0f} "
                  f"{r['ratio']:6.2f}  {r['torch']} {r['way']}", flush=True)


if __name__ == "__main__":
    main()
