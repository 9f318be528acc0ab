#!/usr/bin/env python3
"""The codes of docs/codes.md, written from that page with big integers, without cache or lanes.

Prints the table in tests/golden/test_golden_code.c.  M1 is the static one of that test, so one CDF serves all positions.
"""

P = 16


def make_text():
    letters = b"etaoin shrdlu etaoin shr eta  "
    state, text = 1, bytearray()
    for i in range(3000):
        state = (state * 1664525 + 1013904223) % 2**32
        text.append(letters[(state >> 16) % len(letters)] if i < 2500 else state >> 24)
    return bytes(text)


def cdf_from_weights(weights, precision):
    n, total, largest = len(weights), sum(weights), weights.index(max(weights))
    counts = [1 + w * (2**precision - n) // total for w in weights]
    counts[largest] += 2**precision - sum(counts)
    cdf = [0]
    for count in counts:
        cdf.append(cdf[-1] + count)
    return cdf


def requantise(cdf, n, precision):
    return cdf_from_weights([cdf[x + 1] - cdf[x] for x in range(n)], precision)


def drop_end(cdf257):
    """The CDF of the bytes: END's count goes to the first of the largest counts."""
    counts = [cdf257[x + 1] - cdf257[x] for x in range(257)]
    counts[counts.index(max(counts[:256]))] += counts.pop()
    cdf = [0]
    for count in counts:
        cdf.append(cdf[-1] + count)
    return cdf


class Windows:
    def __init__(self, variant, b, cdf257):
        self.exact, self.variant, self.b = variant == "EXACT", variant, b
        self.cdf = drop_end(cdf257)
        self.p0 = min(P, b)
        self.first = self.cdf if self.p0 == P else requantise(self.cdf, 256, self.p0)

    def borders(self, low, high, depth):
        cdf, p = (self.first, self.p0) if depth == 0 else (self.cdf, P)
        odd = 1 if self.exact and depth > 0 else 0
        return [low] + [(low + ((high - low) * cdf[x] >> p)) | odd for x in range(1, 256)] + [high]

    def holds_cell(self, low, high):
        return (-(-low >> 32) + 1) << 32 <= high

    def own_cell(self, low, high, depth):
        for border in self.borders(low, high, depth)[1:256]:
            cell = border >> 32
            if border % 2**32 and low <= cell << 32 and (cell + 1) << 32 <= high:
                return cell
        return None

    def padded_code(self, low, high):
        for length in range(self.b + 1):
            size = 2 ** (self.b + 32 - length)
            block = -(-low // size)
            if (block + 1) * size <= high:
                return block * size >> 32
        raise AssertionError

    def window(self, text):
        """(bytes used, cell) of the window that begins the text."""
        low, high, depth, path = 0, 2 ** (self.b + 32), 0, []
        while depth < len(text):
            borders = self.borders(low, high, depth)
            child = borders[text[depth]], borders[text[depth] + 1]
            if not self.holds_cell(*child):
                break
            (low, high), depth = child, depth + 1
            path.append(self.own_cell(low, high, depth) if self.exact else self.padded_code(low, high))
        if self.exact:
            while path[-1] is None:
                path.pop()
        elif self.variant == "DELAY":
            return path.index(path[-1]) + 1, path[-1]
        return len(path), path[-1]

    def encode(self, text):
        bits, at = "", 0
        while at < len(text):
            length, cell = self.window(text[at:at + 4096])
            bits += format(cell, f"0{self.b}b")
            at += length
        return bits


def encode_ac(text, cdf):
    """The whole code as one number, low, of moved + 32 bits.  Nothing here drops more than 64 zero bytes."""
    low, span, moved = 0, 2**32 - 1, 0
    for x in list(text) + [256]:
        lo, hi = span * cdf[x] >> P, span * cdf[x + 1] >> P
        low, span = low + lo, hi - lo
        while span < 2**24:
            low, span, moved = low << 8, span << 8, moved + 8
    for kept in range(0, 33, 8):  # the fewest bytes of the last four
        unit = 2 ** (32 - kept)
        value = -(-low // unit) * unit
        if value < low + span:
            break
    code = format(value, f"0{moved + 32}b")
    while code.endswith("0" * 8):
        code = code[:-8]
    return code


def tokens(bits, n):
    bits += "0" * (-len(bits) % n)
    return [int(bits[i:i + n], 2) for i in range(0, len(bits), n)]


def fnv1a(ids):
    value = 0xCBF29CE484222325
    for token in ids:
        for byte in (token & 255, token >> 8):
            value = (value ^ byte) * 0x100000001B3 % 2**64
    return value


def main():
    text = make_text()
    counts = [1 + 7 * text.count(bytes([x])) for x in range(256)] + [1]
    cdf = cdf_from_weights(counts, P)
    for variant, b, n in [("EXACT", 16, 16), ("EXACT", 9, 1), ("EXACT", 24, 16), ("EXACT", 64, 8), ("EXACT", 128, 16),
                          ("GREEDY", 16, 16), ("DELAY", 32, 8)]:
        ids = tokens(Windows(variant, b, cdf).encode(text), n)
        print(f"{{ISB__{variant}, {b}, {n}, 0x{fnv1a(ids):016x}}},")
    print(f"ac 0x{fnv1a(tokens(encode_ac(text, cdf), 8)):016x}")


main()
