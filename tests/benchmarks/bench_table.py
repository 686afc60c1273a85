"""What reading a table costs, beside the csv module alone, and how much memory it holds.

The table is made of the shipped rows with small changes; `AMPEDGE_BENCH_TABLE_MB=1000` makes it one of 1 GB.
"""

import csv
import os
import random
import resource
import tempfile
import time
from pathlib import Path

from ampedge.samples import DATA, shipped
from ampedge.table import read_table

SIZE_MB = int(os.environ.get("AMPEDGE_BENCH_TABLE_MB", "30"))
VARIANTS = 25


def make_table(path: Path, size_mb: int) -> None:
    """Write a table of at least this size: the shipped rows, each time with other last digits."""
    draw = random.Random(1)
    header, *rows = shipped(DATA).read_text("utf-8").splitlines()
    blocks = []
    for _ in range(VARIANTS):
        block = []
        for row in rows:
            *values, label = row.split(",")
            block.append(",".join([*(f"{value[:-1]}{draw.randint(0, 9)}" for value in values), label]) + "\n")
        blocks.append("".join(block))
    with path.open("w", encoding="utf-8") as file:
        file.write(header + "\n")
        while file.tell() < size_mb * 1_000_000:
            file.writelines(blocks)


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "data.csv"
        make_table(path, SIZE_MB)
        size_mb = path.stat().st_size / 1e6
        begun_s = time.process_time()
        with path.open(encoding="utf-8", newline="") as file:
            for _ in csv.reader(file):
                pass
        csv_s = time.process_time() - begun_s
        begun_s = time.process_time()
        table = read_table(path)
        table_s = time.process_time() - begun_s
        peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6
    print(f"{size_mb:.0f} MB, {len(table)} rows of {len(table.columns)} columns")
    print(f"read in {table_s:.1f} s of processor time, {size_mb / table_s:.1f} MB/s")
    print(f"the csv module alone, which keeps nothing: {csv_s:.1f} s, {table_s / csv_s:.1f} times less")
    print(f"peak of the whole process: {peak_mb:.0f} MB resident (promised for 1 GB: at most 1,500 MB)")


if __name__ == "__main__":
    main()
