#!/usr/bin/env python3
"""Decodes .isb files, from docs/container.md, docs/codes.md and docs/m1.md alone: see README.md.

    decode.py FILE.isb [--m1 NAME.isb-m1] [-o OUT]
"""

import argparse
import struct
import sys

import xxhash
import zstandard

import ac
import m1 as m1_file
from m1 import Damaged

MAGIC, FOOTER_MAGIC = b"\x89ISB\r\n", b"ISB end\n"
STORED, FILL, ZSTD, AC, M1 = 1, 2, 3, 4, 5
GROUP = 64  # chunks that M1 works on together


def checksum(data):
    return xxhash.xxh3_64_intdigest(data)


def need(condition, what):
    if not condition:
        raise Damaged(what)


class Reader:
    def __init__(self, data, position):
        self.data, self.position = data, position

    def take(self, n):
        piece = self.data[self.position : self.position + n]
        need(len(piece) == n, f"the file ends early, at {len(self.data)}")
        self.position += n
        return piece

    def numbers(self, form):
        return struct.unpack("<" + form, self.take(struct.calcsize("<" + form)))


class Record:
    def __init__(self, reader, chunk_nbytes):
        self.at = reader.position
        (self.word,) = reader.numbers("I")
        self.kind, self.short, self.size = self.word >> 29, self.word >> 28 & 1, self.word & 0xFFFFFFF
        if self.word == 0:
            return
        (self.check,) = reader.numbers("I")
        self.R = chunk_nbytes
        if self.short:
            (self.R,) = reader.numbers("I")
            need(1 <= self.R < chunk_nbytes, f"raw bytes of the short record at {self.at}")
        allowed = {STORED: self.size == self.R,
                   FILL: self.size == 1 if self.short else self.size >= 1,
                   ZSTD: 1 <= self.size < self.R,
                   AC: self.size < self.R,
                   M1: self.size >= 16 and not self.short}
        need(allowed.get(self.kind, False), f"kind and size of the record at {self.at}")
        self.payload = reader.take(1 if self.kind == FILL else self.size)
        self.raw = b""


# ---- what is in a record ----

def decode_ac(m1, chunks):
    """Fills in `raw` of chunks coded with M1, all together."""
    streams = m1_file.Streams(m1, len(chunks), max(chunk.R for chunk in chunks) + 1)
    decoders = [ac.Decoder(chunk.payload) for chunk in chunks]
    texts = [bytearray() for _ in chunks]
    ids = [m1_file.BOUNDARY] * len(chunks)
    left = set(range(len(chunks)))
    while left:
        cdfs = streams.next(ids)
        for i in sorted(left):
            x = decoders[i].symbol(cdfs[i].tolist())
            if x == ac.END or len(texts[i]) == chunks[i].R:  # a longer text is damage, found below
                left.remove(i)
                need(x == ac.END, f"the chunk at {chunks[i].at} does not end")
            else:
                texts[i].append(x)
                ids[i] = x
    for chunk, text in zip(chunks, texts):
        chunk.raw = bytes(text)


def decode_zstd(record):
    try:
        need(zstandard.frame_content_size(record.payload) == record.R, f"zstd's size at {record.at}")
        return zstandard.ZstdDecompressor().decompress(record.payload)
    except zstandard.ZstdError as error:
        raise Damaged(f"the chunk at {record.at}: {error}")


def find_m1(records, given):
    """The M1 of a frame: the one in the file, or the one given, if it has the identity."""
    found = [i for i, record in enumerate(records) if record.kind == M1]
    coded = [i for i, record in enumerate(records) if record.kind == AC]
    need(len(found) <= 1, "a second M1")
    need(not coded or (found and found[0] < coded[0]), "a chunk that needs an M1 before the record that names it")
    if not found:
        return None
    record = records[found[0]]
    identity, data = record.payload[:16], record.payload[16:]
    need(checksum(identity) & 0xFFFFFFFF == record.check, "the check of M1's identity")
    m1 = m1_file.M1(data) if data else given
    if coded and m1 is None:
        raise Damaged(f"needs M1 {identity.hex()}: give it with --m1")
    need(m1 is None or not (coded or data) or m1.identity == identity, f"needs M1 {identity.hex()}, and this is another")
    return m1


def decode_chunks(records, given):
    m1 = find_m1(records, given)
    for record in records:
        if record.kind == STORED:
            record.raw = record.payload
        elif record.kind == FILL:
            record.raw = record.payload * record.R
        elif record.kind == ZSTD:
            record.raw = decode_zstd(record)
    coded = [record for record in records if record.kind == AC]
    for i in range(0, len(coded), GROUP):
        decode_ac(m1, coded[i : i + GROUP])
    for record in records:
        if record.kind != M1:
            good = len(record.raw) == record.R and checksum(record.raw) & 0xFFFFFFFF == record.check
            need(good, f"the chunk at {record.at} is damaged")
    return b"".join(r.raw * (r.size if r.kind == FILL else 1) for r in records)


# ---- frames ----

def read_header(reader):
    header = reader.data[reader.position : reader.position + 12]
    magic, version, chunk_nbytes, check = reader.numbers("6sHIQ")
    need(magic == MAGIC, "this is not an .isb file")
    need(version == 2, f"version {version}: this program reads version 2")
    need(checksum(header) == check, "the header's checksum")
    need(1024 <= chunk_nbytes <= 16777216, "the chunk size")
    return chunk_nbytes


def read_frame(reader, given):
    start = reader.position
    chunk_nbytes = read_header(reader)
    records = []
    while True:
        record = Record(reader, chunk_nbytes)
        if record.word == 0:
            break
        need(not records or not records[-1].short, f"a record after the short one, at {record.at}")
        records.append(record)
    index = reader.take(4 * len(records))
    need(index == b"".join(struct.pack("<I", record.word) for record in records), "the index")
    frame = reader.data[start : reader.position]
    footer = reader.take(64)
    raw = decode_chunks(records, given)
    expected = struct.pack("<6Q", len(frame) + 64, len(raw), len(records), checksum(index), checksum(raw),
                           checksum(frame))
    need(footer == expected + struct.pack("<Q", checksum(expected)) + FOOTER_MAGIC, "the footer")
    return raw


def decode(data, given=None):
    """The bytes that an .isb file holds."""
    reader, raw = Reader(data, 0), []
    while reader.position < len(data) or not raw:
        raw.append(read_frame(reader, given))
    return b"".join(raw)


def main():
    parser = argparse.ArgumentParser(description="Decodes .isb files.")
    parser.add_argument("file")
    parser.add_argument("--m1")
    parser.add_argument("-o", dest="out")
    args = parser.parse_args()
    try:
        given = None
        if args.m1:
            with open(args.m1, "rb") as file:
                given = m1_file.M1(file.read())
        with open(args.file, "rb") as file:
            raw = decode(file.read(), given)
    except (Damaged, OSError) as error:
        sys.exit(f"decode.py: {args.file}: {error}")
    if args.out:
        with open(args.out, "wb") as file:
            file.write(raw)
    else:
        sys.stdout.buffer.write(raw)


if __name__ == "__main__":
    main()
