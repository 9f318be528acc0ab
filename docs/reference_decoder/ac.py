"""The `ac` code of docs/codes.md, section 6: arithmetic decoding."""

END = 256


class Decoder:
    def __init__(self, data):
        self.data, self.position = data, 0
        self.range, self.code = 2**32 - 1, 0
        for _ in range(4):
            self.shift_in()

    def shift_in(self):
        byte = self.data[self.position] if self.position < len(self.data) else 0
        self.code = (self.code << 8 | byte) % 2**32
        self.position += 1

    def symbol(self, cdf, nbits=16):
        """cdf: a list of 258.  The last x whose border is not past the code."""
        x, end = 0, len(cdf) - 1
        while end - x > 1:
            middle = (x + end) // 2
            if self.range * cdf[middle] >> nbits <= self.code:
                x = middle
            else:
                end = middle
        first = self.range * cdf[x] >> nbits
        self.range = (self.range * cdf[x + 1] >> nbits) - first
        self.code -= first
        while self.range < 2**24:
            self.shift_in()
            self.range <<= 8
        return x
