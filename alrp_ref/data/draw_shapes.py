"""One picture of the generated data set: cluttered background, overlapping shapes, tight boxes.

A shape is a signed distance: negative inside, in pixels. Its coverage of a pixel is then
clip(1/2 - distance, 0, 1): smooth edges in one line.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from PIL import Image

MIN_VISIBLE = 0.3  # an object of which less can be seen would be a riddle, not a training example
MIN_CONTRAST = 60.0  # distance of an object's colour from what lies under it, of at most 442
RADII = (0.05, 0.42)  # smallest and largest, as a fraction of the picture; sizes are log-uniform
MAX_OBJECTS = 8
SOFT_SIZE = 40  # the background's soft part is drawn at this size and then enlarged: fast, and nobody sees it


def _circle(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return np.hypot(x, y) - 0.9


def _ring(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return np.abs(np.hypot(x, y) - 0.7) - 0.22


def _square(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return np.maximum(np.abs(x), np.abs(y)) - 0.75


def _triangle(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    sides = (np.cos(a) * x + np.sin(a) * y for a in (np.pi / 6, 5 * np.pi / 6, 3 * np.pi / 2))
    return np.maximum.reduce(list(sides)) - 0.5


def _star(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Fold the plane into one tenth of the star, where its outline is one straight line from tip to notch."""
    angle = np.abs((np.arctan2(y, x) + np.pi / 5) % (2 * np.pi / 5) - np.pi / 5)
    radius = np.hypot(x, y)
    tip, notch = np.array([1.0, 0.0]), 0.42 * np.array([np.cos(np.pi / 5), np.sin(np.pi / 5)])
    normal = np.array([tip[1] - notch[1], notch[0] - tip[0]]) / -np.hypot(*(tip - notch))
    return (radius * np.cos(angle) - tip[0]) * normal[0] + (radius * np.sin(angle) - tip[1]) * normal[1]


SHAPES: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    "circle": _circle,
    "ring": _ring,
    "square": _square,
    "star": _star,
    "triangle": _triangle,
}


class Object(NamedTuple):
    """A drawn object: its class, the box x, y, width, height around its visible pixels, and their number."""

    name: str
    box: tuple[int, int, int, int]
    area: int


def draw(rng: np.random.Generator, size: int) -> tuple[np.ndarray, list[Object]]:
    """Draw one to eight shapes, the later ones partly over the earlier.

    Returns: the picture, (size, size, 3) uint8, and its objects.
    """
    picture = _background(rng, size)
    owner = np.full((size, size), -1)  # which object a pixel shows
    names: list[str] = []
    full_areas: list[int] = []
    for _ in range(rng.integers(1, MAX_OBJECTS + 1)):
        name = str(rng.choice(list(SHAPES)))
        for _ in range(20):  # a crowded picture has no room left: it then gets fewer objects
            window, coverage = _place(rng, size, SHAPES[name])
            covered = coverage >= 0.5
            hidden = np.bincount(owner[window][covered] + 1, minlength=len(names) + 1)[1:]
            visible = np.bincount(owner.ravel() + 1, minlength=len(names) + 1)[1:]
            if np.all(visible - hidden >= MIN_VISIBLE * np.array(full_areas)):
                break
        else:
            continue
        owner[window][covered] = len(names)
        names.append(name)
        full_areas.append(int(covered.sum()))
        colour = _contrasting_colour(rng, picture[window][covered].mean(0))
        _paint(picture[window], coverage, colour * _shade(rng, len(coverage)))
    picture += rng.integers(-7, 8, picture.shape, dtype=np.int8)  # grain
    objects = [_object(name, owner == number) for number, name in enumerate(names)]
    return picture.round().clip(0, 255).astype(np.uint8), objects


def _object(name: str, visible: np.ndarray) -> Object:
    rows, columns = np.flatnonzero(visible.any(1)), np.flatnonzero(visible.any(0))
    x, y = int(columns[0]), int(rows[0])
    box = (x, y, int(columns[-1]) + 1 - x, int(rows[-1]) + 1 - y)
    return Object(name, box, int(visible.sum()))


def _place(
    rng: np.random.Generator, size: int, distance: Callable[[np.ndarray, np.ndarray], np.ndarray]
) -> tuple[tuple[slice, slice], np.ndarray]:
    """Give a shape a random size, place and angle in the picture.

    Returns: the square window of the picture it lies in, and how much of each pixel there it covers.
    """
    radius = size * np.exp(rng.uniform(*np.log(RADII)))
    side = 2 * int(np.ceil(radius)) + 2
    left, top = rng.integers(0, size - side + 1, 2)
    angle = rng.uniform(0, 2 * np.pi)
    x, y = _grid(side, rng.uniform(-0.5, 0.5, 2) + side / 2)
    u, v = np.cos(angle) * x + np.sin(angle) * y, np.cos(angle) * y - np.sin(angle) * x
    coverage = (0.5 - radius * distance(u / radius, v / radius)).clip(0, 1)
    return (slice(top, top + side), slice(left, left + side)), coverage


def _background(rng: np.random.Generator, size: int) -> np.ndarray:
    """Soft colours, and lines that are no object: (size, size, 3) float32."""
    colours = _soft_colours(rng, SOFT_SIZE)
    channels = [Image.fromarray(colours[..., k]).resize((size, size), Image.Resampling.BICUBIC) for k in range(3)]
    picture = np.stack([np.asarray(channel) for channel in channels], -1)
    for _ in range(rng.integers(0, 6)):
        _paint(picture, _line(rng, size), rng.uniform(0, 255, 3))
    return picture


def _soft_colours(rng: np.random.Generator, size: int) -> np.ndarray:
    """A gradient with waves and blobs: (size, size, 3) float32."""
    x, y = _grid(size, (size / 2, size / 2))
    direction = rng.uniform(0, 2 * np.pi)
    ramp = (0.5 + (np.cos(direction) * x + np.sin(direction) * y) / size).clip(0, 1)
    picture = np.full((size, size, 3), rng.uniform(40, 215, 3), dtype=np.float32)
    _paint(picture, ramp, rng.uniform(40, 215, 3))
    for _ in range(3):
        (a, b), phase, colour = rng.normal(0, 12 / size, 2), rng.uniform(0, 2 * np.pi), rng.normal(0, 8, 3)
        picture += np.float32(np.cos(a * x + b * y + phase))[..., None] * np.float32(colour)
    for _ in range(rng.integers(0, 5)):
        x, y = _grid(size, rng.uniform(0, size, 2))
        width = rng.uniform(0.04, 0.15) * size
        _paint(picture, 0.7 * np.exp(-(x**2 + y**2) / (2 * width**2)), rng.uniform(0, 255, 3))
    return picture


def _line(rng: np.random.Generator, size: int) -> np.ndarray:
    """Coverage of a stroke between two random points: the distance to the nearest point of the segment."""
    start, end = rng.uniform(-0.1 * size, 1.1 * size, (2, 2))
    x, y = _grid(size, start)
    dx, dy = end - start
    along = ((x * dx + y * dy) / (dx**2 + dy**2)).clip(0, 1)
    return (rng.uniform(0.5, 2.0) + 0.5 - np.hypot(x - along * dx, y - along * dy)).clip(0, 1)


def _contrasting_colour(rng: np.random.Generator, under: np.ndarray) -> np.ndarray:
    while True:
        colour = rng.uniform(20, 235, 3)
        if np.linalg.norm(colour - under) >= MIN_CONTRAST:
            return colour


def _shade(rng: np.random.Generator, size: int) -> np.ndarray:
    """Light from one side: a factor of 0.85 to 1.15 across the picture, (size, size, 1)."""
    x, y = _grid(size, (size / 2, size / 2))
    direction = rng.uniform(0, 2 * np.pi)
    return 1 + 0.3 * ((np.cos(direction) * x + np.sin(direction) * y) / size).clip(-0.5, 0.5)[..., None]


def _paint(picture: np.ndarray, coverage: np.ndarray, colour: np.ndarray) -> None:
    """Mix `colour` into the float32 picture, in place."""
    picture += np.float32(coverage)[..., None] * (np.float32(colour) - picture)


def _grid(size: int, centre: tuple[float, float] | np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """x and y of every pixel's middle, seen from `centre`: (1, size) and (size, 1)."""
    middle = np.arange(size) + 0.5
    return (middle - centre[0])[None, :], (middle - centre[1])[:, None]
