"""The hashes of CDFs in matrix.txt, by the decoder in docs/reference_decoder, which shares nothing with the library.

    test_matrix files FOLDER; matrix_reference.py FOLDER matrix.txt
"""

import os
import sys

import numpy as np
import xxhash

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "../../docs/reference_decoder"))
import m1 as m1_file


def read_documents(path):
    with open(path, "rb") as file:
        data = file.read()
    documents = []
    while data:
        n = 4 + int.from_bytes(data[:4], "little")
        documents.append(data[4:n])
        data = data[n:]
    return documents


def all_cdfs(m1, documents):
    """For each document the CDFs after 0, 1, 2, ... bytes."""
    longest = max(map(len, documents))
    streams = m1_file.Streams(m1, len(documents), longest + 1)
    ids, found = [m1_file.BOUNDARY] * len(documents), [[] for _ in documents]
    for p in range(longest + 1):
        for cdf, document, rows in zip(streams.next(ids), documents, found):
            if p <= len(document):
                rows.append(cdf)
        ids = [document[p] if p < len(document) else 0 for document in documents]
    return found


def hash_of(m1, documents):
    state = xxhash.xxh3_128()
    for group in grouped(m1, documents):
        for rows in group:
            state.update(np.array(rows)[:, :257].astype("<u2").tobytes())
    return state.hexdigest()


def grouped(m1, documents):
    """Long documents alone, short ones together, in the order of the documents."""
    group = []
    for document in documents:
        if len(document) > 40:
            if group:
                yield all_cdfs(m1, group)
            yield all_cdfs(m1, [document])
            group = []
        else:
            group.append(document)
    if group:
        yield all_cdfs(m1, group)


def main(folder, golden):
    n_good = n_bad = 0
    with open(golden) as file:
        for line in file:
            model, text, what, expected = line.split()
            with open(f"{folder}/{model}.isb-m1", "rb") as m1_bytes:
                m1 = m1_file.M1(m1_bytes.read())
            if what == "identity":
                found = m1.identity.hex()
            elif what == "cdfs":
                found = hash_of(m1, read_documents(f"{folder}/{model}.{text}"))
            else:
                continue
            n_good += found == expected
            n_bad += found != expected
            if found != expected:
                print(f"{model} {text} {what}: {found}, expected {expected}")
    print(f"{n_good} hashes as recorded, {n_bad} different")
    return 1 if n_bad or not n_good else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
