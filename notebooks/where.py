"""The picture of the whole course with one chapter lit, for the first cell of each: `python notebooks/where.py`."""

from pathlib import Path

from alrp_ref.palette import BLUE, GREY, INK, LIGHT

FOLDER = Path(__file__).parent / "where"
STATIONS = (
    ("three", "detectors"),
    ("ranks", ""),
    ("errors as", "gradients"),
    ("balance", ""),
    ("LRP: one error", "for both"),
    ("aLRP", "Loss"),
    ("gradients", ""),
    ("weight of", "the boxes"),
    ("speed", ""),
    ("a detector", ""),
    ("training", ""),
    ("what is", "it worth?"),
    ("your own", "detector"),
    ("what came", "after"),
)
"""What each chapter is about, in two short lines."""
WIDTH, HEIGHT, GAP = 94, 52, 14
ROW = 7  # stations in the first row


def picture(lit: int) -> str:
    """The stations in two rows, an arrow from each to the next, and one of them lit."""
    parts = []
    for number, lines in enumerate(STATIONS):
        x, y = 4 + number % ROW * (WIDTH + GAP), 4 + number // ROW * (HEIGHT + GAP)
        fill, ink = (BLUE, "white") if number == lit else (LIGHT, INK)
        parts.append(
            f'<rect x="{x}" y="{y}" width="{WIDTH}" height="{HEIGHT}" rx="6" fill="{fill}"/>'
        )
        for line, text in enumerate((f"{number:02d}", *filter(None, lines))):
            at = y + 15 + 14 * line
            weight = ' font-weight="bold"' if line == 0 else ""
            parts.append(
                f'<text x="{x + WIDTH / 2:g}" y="{at}" fill="{ink}" text-anchor="middle"{weight}>{text}</text>'
            )
        if number % ROW < ROW - 1 and number < len(STATIONS) - 1:
            middle = y + HEIGHT / 2
            parts.append(
                f'<path d="M{x + WIDTH + 2} {middle:g}h8m-4 -4l4 4l-4 4" stroke="{GREY}" fill="none"/>'
            )
    width, height = ROW * (WIDTH + GAP) - GAP + 8, 2 * HEIGHT + GAP + 8
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" '
        f'height="{height}" font-family="sans-serif" font-size="11">'
        f'<rect width="{width}" height="{height}" rx="8" fill="white"/>{"".join(parts)}</svg>\n'
    )


def link(lit: int) -> str:
    """The picture as Markdown, with words for those who cannot see it."""
    name = " ".join(filter(None, STATIONS[lit]))
    return f"![The course in fourteen steps; this is step {lit}: {name}](where/{lit:02d}.svg)"


if __name__ == "__main__":
    for number in range(len(STATIONS)):
        (FOLDER / f"{number:02d}.svg").write_text(picture(number), encoding="utf-8")
