"""The files that are moved. Random bytes, so that nobody can compress; the same sizes at every run."""
import hashlib
import os
import statistics
from pathlib import Path

KIB, MIB, GIB = 1 << 10, 1 << 20, 1 << 30


def real(total):
    """The sizes of a real project (0 B to 100 GiB, median 9.3 KiB, mean 1.5 GiB: a log-normal distribution), scaled down to so many
    bytes: the small files as they are, the large ones smaller."""
    normal = statistics.NormalDist(0, 4.9)
    drawn = [9.3 * KIB * 2.718281828 ** normal.inv_cdf((n + 0.5) / 200) for n in range(200)]
    drawn = [0] + [min(size, 100 * GIB) for size in drawn]
    small = sum(size for size in drawn if size <= 64 * KIB)
    large = sum(size for size in drawn if size > 64 * KIB)
    factor = (total - small) / large
    return [int(size if size <= 64 * KIB else max(64 * KIB, size * factor)) for size in drawn]


def small(count):
    return [9 * KIB + (55 * KIB * n) // count for n in range(count)]


# name → (what it is, sizes, sizes for --quick)
MIXES = {
    "one": ("one large file", [2 * GIB], [256 * MIB]),
    "four": ("four large files", [2 * GIB] * 4, [64 * MIB] * 4),
    "small": ("2,000 files of 9 to 64 KiB", small(2000), small(200)),
    "whole": ("two large files and 500 small ones, 1.5 GiB", [750 * MIB] * 2 + small(500), [100 * MIB] * 2 + small(50)),
    "real": ("the real distribution, scaled to 2 GiB", real(2 * GIB), real(256 * MIB)),
}


class Mix:
    """One mix, on the disk."""

    def __init__(self, name, data, quick):
        self.name = name
        self.words, full, few = MIXES[name]
        self.sizes = few if quick else full
        self.bytes = sum(self.sizes)
        self.dir = Path(data) / name
        self.dir.mkdir(parents=True)
        # Names as delivered reads have them, so that the same files can be a sample with md5 sums.
        ends = [f"_S{n // 2 + 1}_R{n % 2 + 1}_001.fastq.gz" for n in range(len(self.sizes))]
        self.files = [self.dir / f"HG12345677-Nett-KIT-wgs{end}" for end in ends]
        block = os.urandom(256 * KIB)  # small: the memory of this process is the floor of what is measured
        for n, (file, size) in enumerate(zip(self.files, self.sizes)):
            with open(file, "wb") as out:
                for at in range(0, size, len(block)):
                    piece = block[: min(len(block), size - at)]
                    # No two blocks are the same.
                    stamp = n.to_bytes(8, "big") + at.to_bytes(8, "big")
                    out.write((stamp + piece[16:])[: len(piece)])

    def md5s(self):
        """md5 sums as the delivery has them."""
        found = {}
        for file in self.files:
            with open(file, "rb") as data:
                found[file.name] = hashlib.file_digest(data, "md5").hexdigest()
        return found
