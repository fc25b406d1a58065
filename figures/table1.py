"""Table 1: how many hyper-parameters a loss has."""

from paper import TABLE_1
from style import markdown

NOTE = """All counts are recalled, hence the parentheses. The mean of the others is given as "about 6" in the paper,
which was read. The one of aLRP Loss we take to be the width delta of its step, which the paper never tunes. (The
self-balance starts from a weight of 50; see Table 4.)"""


def draw() -> str:
    others = [count for name, count in TABLE_1.items() if name != "aLRP Loss"]
    rows = [[name, f"({count})"] for name, count in TABLE_1.items()]
    mean = ["mean of the others", f"{sum(others) / len(others):.1f}"]
    return markdown("Table 1: hyper-parameters", [["loss", "number"], *rows, mean], NOTE)
