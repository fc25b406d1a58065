"""Measure what the loss costs by three methods, for `cost.py`, and write data/cost.csv.

Usage: python -m studies.cost     (minutes; on an otherwise idle machine)

Times are ratios to the time of ours at 10 positives, in the same run: they say how a method grows, on any machine.
"""

import time

import torch

from alrp_ref.machine.files import write_table
from benchmarks import methods
from studies.results import DATA

NEGATIVES, REPEATS = 1_000_000, 3
POSITIVES = (10, 30, 100, 300, 1000)

METHODS = ("loop", "buckets", "running sums")


def main() -> None:
    torch.set_num_threads(1)
    rows = []
    for number in POSITIVES:
        rng = torch.Generator().manual_seed(number)
        s_pos, s_neg = (torch.randn(n, generator=rng, dtype=torch.float64) for n in (number, NEGATIVES))
        s_pos, errors = s_pos + 2, torch.rand(number, generator=rng, dtype=torch.float64)
        results = {}
        for name in METHODS:
            times = []
            for _ in range(1 if name == "loop" and number > 100 else REPEATS):
                began = time.perf_counter()
                results[name] = methods.METHODS[name](s_pos, s_neg, errors)
                times.append(time.perf_counter() - began)
            rows.append({"positives": number, "method": name, "seconds": min(times)})
        for row in rows[-len(METHODS) :]:
            off = methods.deviation(results[row["method"]], results["loop"])
            row["error_loss"], row["error_gradient"] = (f"{x:.2g}" for x in off)
            print(row, flush=True)
    unit = next(row["seconds"] for row in rows if row["method"] == "running sums")
    for row in rows:
        row["time"] = f"{row.pop('seconds') / unit:.3g}"
    write_table(DATA / "cost.csv", rows)


if __name__ == "__main__":
    main()
