"""Trains a small model on the project's own documentation, then reads everything it wrote with other people's programs.

- model.safetensors with the safetensors package; a Llama forward pass in NumPy (rotate-half RoPE, as in Hugging Face) must
  give the bits/byte that `isobit eval` prints, over bytes and over a codebook's ids from the Python package.
- PREFIX.bin and .idx as Megatron-LM lays them out.
- events.out.tfevents.* with TensorBoard's own reader; its curve must be the one in log.jsonl.
"""
import glob
import json
import math
import os
import struct
import subprocess
import sys
import tempfile

import numpy as np
from isobit import Codebook
from safetensors.numpy import load_file
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator


def isobit(*arguments):
    result = subprocess.run([os.path.abspath(sys.argv[1]), *arguments, "--json", "--quiet"], capture_output=True, check=True)
    return json.loads(result.stdout.splitlines()[-1])


def norm(x, weight, eps):
    return x / np.sqrt((x * x).mean(-1, keepdims=True) + eps) * weight


def rotate(x, theta):
    """x: [H, T, D]"""
    half = x.shape[-1] // 2
    angle = np.arange(x.shape[1])[:, None] * theta ** (-np.arange(half) / half)
    c, s = np.cos(angle), np.sin(angle)
    return np.concatenate([x[..., :half] * c - x[..., half:] * s, x[..., half:] * c + x[..., :half] * s], -1)


def llama_nats(config, weights, ids):
    """Sum of -ln p(ids[t] | ids[<t]) over t >= 1."""
    w = {name: value.astype(np.float64) for name, value in weights.items()}
    heads, eps = config["num_attention_heads"], config["rms_norm_eps"]
    x = w["model.embed_tokens.weight"][ids[:-1]]
    length = len(x)
    mask = np.triu(np.full((length, length), -np.inf), 1)
    for layer in range(config["num_hidden_layers"]):
        p = f"model.layers.{layer}."
        h = norm(x, w[p + "input_layernorm.weight"], eps)
        q, k, v = ((h @ w[p + f"self_attn.{n}_proj.weight"].T).reshape(length, heads, -1).transpose(1, 0, 2) for n in "qkv")
        q, k = rotate(q, config["rope_theta"]), rotate(k, config["rope_theta"])
        a = q @ k.transpose(0, 2, 1) / math.sqrt(q.shape[-1]) + mask
        a = np.exp(a - a.max(-1, keepdims=True))
        y = (a / a.sum(-1, keepdims=True)) @ v
        x = x + y.transpose(1, 0, 2).reshape(length, -1) @ w[p + "self_attn.o_proj.weight"].T
        h = norm(x, w[p + "post_attention_layernorm.weight"], eps)
        gate = h @ w[p + "mlp.gate_proj.weight"].T
        x = x + (gate / (1 + np.exp(-gate)) * (h @ w[p + "mlp.up_proj.weight"].T)) @ w[p + "mlp.down_proj.weight"].T
    logits = norm(x, w["model.norm.weight"], eps) @ w.get("lm_head.weight", w["model.embed_tokens.weight"]).T
    lse = np.log(np.exp(logits - logits.max(-1, keepdims=True)).sum(-1)) + logits.max(-1)
    return float((lse - logits[np.arange(length), ids[1:]]).sum())


def check_model(folder, text, ids):
    config = json.load(open(f"{folder}/config.json"))
    boundary = config["vocab_size"] - 1
    nats = llama_nats(config, load_file(f"{folder}/model.safetensors"), [boundary, *ids, boundary])
    expected = nats / math.log(2) / len(text)
    with tempfile.NamedTemporaryFile(suffix=".txt") as file:
        file.write(text)
        file.flush()
        found = isobit("eval", "--model", folder, "--data", file.name)["bits_per_byte"]
    assert abs(found - expected) < 5e-3 * expected, (found, expected)  # products of isobit eval may be bf16
    print(f"safetensors, Llama in NumPy: {expected:.4f} bits/byte; isobit eval: {found:.4f}")


def check_dataset(prefix, n_tokens):
    with open(prefix + ".idx", "rb") as file:
        assert file.read(9) == b"MMIDIDX\x00\x00"
        version, code, n, n_docs = struct.unpack("<QBQQ", file.read(25))
        assert (version, code, n_docs) == (1, 8, n + 1), (version, code, n, n_docs)
        sizes = np.frombuffer(file.read(4 * n), "<i4")
        pointers = np.frombuffer(file.read(8 * n), "<i8")
        documents = np.frombuffer(file.read(8 * n_docs), "<i8")
        assert not file.read(1)
    ids = np.fromfile(prefix + ".bin", "<u2")
    assert len(ids) == sizes.sum() == n_tokens
    assert (pointers == 2 * (np.cumsum(sizes) - sizes)).all() and (documents == np.arange(n_docs)).all()
    print(f"Megatron layout: {n} documents, {len(ids)} ids")


def check_events(folder):
    log = [json.loads(line) for line in open(f"{folder}/log.jsonl")]
    losses = {row["step"]: row["loss"] for row in log if "loss" in row}
    events = EventAccumulator(glob.glob(f"{folder}/events.out.tfevents.*")[0]).Reload()
    tags = events.Tags()["scalars"]
    tag = next(t for t in tags if t.endswith("loss") and "valid" not in t)
    curve = {e.step: e.value for e in events.Scalars(tag)}
    assert curve.keys() == losses.keys() and all(abs(curve[s] - losses[s]) < 1e-4 for s in losses), (curve, losses)
    print(f"TensorBoard: {len(curve)} points of {tag}, the same as log.jsonl; tags {', '.join(tags)}")


def main():
    text = [path for path in sorted(glob.glob("docs/*.md")) + ["README.md"]]
    sample = open("README.md", "rb").read()[:100]
    with tempfile.TemporaryDirectory() as out:
        codebook = Codebook.build(text, n_ids=512)
        codebook.save(f"{out}/docs.isb-codebook")
        encoders = {"bytes": list, f"codebook:{out}/docs.isb-codebook": lambda data: codebook.encode(data).tolist()}
        for i, (tokenizer, encode) in enumerate(encoders.items()):
            isobit("train", "--size", "nano", "--tokenizer", tokenizer, "--data", *text, "--document-size", "2k", "--steps", "40",
                   "--context", "128", "--log-every", "5", "--test-permille", "0", "--out", f"{out}/m{i}")
            check_model(f"{out}/m{i}", sample, encode(sample))
        made = isobit("prepare", "--tokenizer", "bytes", "--data", *text, "--one-file", "--out", f"{out}/d")
        check_dataset(f"{out}/d", made["n_tokens"])
        check_events(f"{out}/m0")


main()
