"""A table for the terminal."""

import shutil
from collections.abc import Sequence


def as_table(columns: Sequence[tuple[str, Sequence[object]]]) -> str:
    """Columns side by side; those that the terminal is too narrow for follow below, with the first one again."""
    width = shutil.get_terminal_size().columns
    texts = [[name, *map(str, values)] for name, values in columns]
    padded = [[text.ljust(max(map(len, column))) for text in column] for column in texts]
    blocks = [[padded[0]]]
    for column in padded[1:]:
        if len("  ".join(c[0] for c in (*blocks[-1], column))) > width:
            blocks.append([padded[0]])
        blocks[-1].append(column)
    return "\n\n".join("\n".join("  ".join(row).rstrip() for row in zip(*block, strict=True)) for block in blocks)
