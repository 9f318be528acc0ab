#!/usr/bin/env python3
"""Writes docs/planning.md: what training runs would cost, from `isobit train --estimate` and stated assumptions.

    scripts/plan.py [--isobit build/isobit] [--tokens 26.2e9] [--efficiency 0.3,0.4,0.5] [--peak 989e12] >docs/planning.md

Figures of the estimate are counted by the program (parameters, FLOPs, bytes on a CPU).  Everything about GPUs is arithmetic on
the efficiencies and bandwidths given here: nothing was measured on one.
"""
import argparse
import json
import subprocess

SIZES = ["25m", "113m", "403m", "2b"]
GPUS = [1, 8, 64, 256, 1024]
BANDWIDTHS = [25e9, 400e9]
GPU_MEMORY = 80e9
CONTEXT, ROWS = 1024, 8
BATCH_TOKENS = 2**19  # of a step, all GPUs together


def numbers(text):
    return [float(x) for x in text.split(",")]


def estimate(isobit, size, tokens):
    command = [isobit, "train", "--estimate", "--json", "--size", size, "--context", str(CONTEXT), "--batch", str(ROWS),
               "--tokens", str(int(tokens))]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def duration(seconds):
    for unit, length in (("years", 365.25 * 86400), ("days", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 1.5 * length:
            return f"{seconds / length:.3g} {unit}"
    return f"{seconds:.3g} s"


def gb(nbytes):
    return f"{nbytes / 1e9:.3g} GB"


def row(*cells):
    print("| " + " | ".join(str(c) for c in cells) + " |")


def head(*cells):
    row(*cells)
    row(*["---"] * len(cells))


def sizes_table(plans, options):
    head("size", "parameters", "FLOPs a token", f"FLOPs of {options.tokens / 1e9:.3g}e9 tokens",
         f"2 cores of Zen 4 (25m: {options.cpu_rate:,.0f} tokens/s)")
    reference = plans["25m"]["train_flops"] / plans["25m"]["tokens"]
    for size, p in plans.items():
        per_token = p["train_flops"] / p["tokens"]
        cpu = options.tokens / (options.cpu_rate * reference / per_token)
        row(size, f"{p['n_parameters'] / 1e6:,.0f} M", f"{per_token:.3g}", f"{p['train_flops']:.3g}", duration(cpu))


def memory_table(plans):
    head("size", "weights", "gradients", "AdamW, of all ranks", "activations",
         *[f"on each of {R}" for R in (1, 8, 64)], "checkpoint")
    for size, p in plans.items():
        w, g, o, a = (p[k + "_bytes"] for k in ("weights", "gradients", "optimizer", "activations"))
        totals = [w + g + o / R + a for R in (1, 8, 64)]
        row(size, gb(w), gb(g), gb(o), gb(a), *[gb(t) + (" (too much)" if t > GPU_MEMORY else "") for t in totals],
            gb(p["checkpoint_bytes"]))


def usable(n_gpus, text):
    return text if n_gpus <= BATCH_TOKENS // (CONTEXT * ROWS) else text + "*"


def time_table(plans, options):
    head("size", "efficiency", *[f"{n} GPU" + "s" * (n > 1) for n in GPUS])
    for size, p in plans.items():
        for e in options.efficiency:
            row(size, f"{100 * e:.0f}%", *[usable(n, duration(p["train_flops"] / (n * e * options.peak))) for n in GPUS])


def communication_table(plans, options):
    head("size", "sent by each rank a step", *[f"at {b / 1e9:.0f} GB/s" for b in BANDWIDTHS],
         *[f"computing, {n} GPUs at {100 * options.efficiency[0]:.0f}%" for n in GPUS[1:]])
    for size, p in plans.items():
        nbytes = 2 * p["weights_bytes"]  # gradients to their owners, weights back: (R - 1) / R of each
        per_step = p["train_flops"] / p["tokens"] * BATCH_TOKENS
        row(size, gb(nbytes), *[f"{nbytes / b * 1e3:.3g} ms" for b in BANDWIDTHS],
            *[f"{per_step / (n * options.efficiency[0] * options.peak) * 1e3:.3g} ms" for n in GPUS[1:]])


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--isobit", default="build/isobit")
    parser.add_argument("--tokens", type=float, default=26.2e9)
    parser.add_argument("--efficiency", type=numbers, default=[0.3, 0.4, 0.5])
    parser.add_argument("--peak", type=float, default=989e12, help="FLOP/s of a GPU")
    parser.add_argument("--cpu-rate", type=float, default=2000, help="tokens/s of 25m, measured")
    options = parser.parse_args()
    plans = {size: estimate(options.isobit, size, options.tokens) for size in SIZES}
    efficiencies = ", ".join(f"{100 * e:.0f}%" for e in options.efficiency)
    print(f"""# Planning a run

Written by `scripts/plan.py`; do not edit. Ask for your own run with `isobit train --estimate` and the options of the run.

**What is counted and what is assumed.** Parameters and FLOPs are counted by the program (three times every product of the
forward pass; vocabulary of the default codebook, 65,536 ids; context {CONTEXT}, micro-batches of {ROWS} rows). Bytes are those of
training on a CPU in single precision, by the same program. The rate of the CPU is measured. **No GPU was measured for this
page**: GPU times are FLOPs / (GPUs x efficiency x {options.peak / 1e12:.0f} TFLOP/s), the peak that NVIDIA gives for bf16 on an H100 SXM, and
the efficiencies ({efficiencies}) are assumptions. Nor were the bandwidths measured. Waiting for data, evaluation and
checkpoints are left out.

## Sizes
""")
    sizes_table(plans, options)
    print("""
CPU times of the other sizes follow from that of 25m by FLOPs a token; only that one was measured.

## Memory
Each rank has all weights, gradients and activations of a micro-batch, and its share of AdamW's state. Sums over ranks, by
number of ranks:
""")
    memory_table(plans)
    print(f"""
Rank 0 needs the whole of AdamW's state once more in host memory while a checkpoint is written. Fewer rows a micro-batch
(`--batch`) or `--recompute` make activations smaller. A GPU has
{GPU_MEMORY / 1e9:.0f} GB or so (an assumption); what training there keeps beside, such as copies in bf16, is not counted here.

## Time
{options.tokens / 1e9:.3g}e9 tokens, by assumed efficiency, if nothing is lost to communication:
""")
    time_table(plans, options)
    print(f"""
## Communication
A step sums the gradients (4 bytes a parameter) into the shares and spreads the new weights from them: each rank sends and
receives nearly all of both, whatever the number of ranks. Beside it, the computing time of a step of {BATCH_TOKENS:,} tokens, for
all GPUs together, at the lowest efficiency above. Communication is not overlapped with computing, so the two add up; where the
first is not small beside the second, a larger step (`--accumulate`) helps.
""")
    communication_table(plans, options)
    print(f"""
25 GB/s is about one 200 Gb/s network adapter; 400 GB/s about NVLink within a machine. With many GPUs a step of
{BATCH_TOKENS // 1024} Ki tokens is {BATCH_TOKENS // (CONTEXT * ROWS)} micro-batches of {ROWS} rows, one each for as many GPUs: more (marked *) need a larger step or fewer rows.""")


main()
