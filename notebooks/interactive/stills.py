"""Draw the stills of the interactive pictures, and the README's animation, with a headless browser.

Usage: python notebooks/interactive/stills.py     (needs Playwright and Chromium)
"""

import io
import shutil
import sys
from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright

sys.path.insert(0, str(Path(__file__).parents[1]))

from interactive import FOLDER, PICTURES, page

BROWSER = shutil.which("chromium") or shutil.which("google-chrome")
ANIMATION = FOLDER / "race.gif"


def main() -> None:
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])
        tab = browser.new_page(viewport={"width": 660, "height": 900}, reduced_motion="reduce")
        for name in PICTURES:
            tab.set_content(page(name))
            picture = tab.locator(".alrp-picture")
            picture.wait_for()
            if name == "race":
                frames = [_shot(picture)]
                for _ in range(30):
                    picture.get_by_role("button", name="step").click()
                    frames.append(_shot(picture))
                _animate(frames)
                _save(frames[12], FOLDER / f"{name}.png")
            else:
                _save(_shot(picture), FOLDER / f"{name}.png")
        browser.close()


def _shot(picture) -> Image.Image:
    return Image.open(io.BytesIO(picture.screenshot(animations="disabled"))).convert("RGB")


def _save(image: Image.Image, path: Path) -> None:
    image.quantize(64).save(path, optimize=True)


def _animate(frames: list[Image.Image]) -> None:
    palette = frames[0].quantize(32)
    frames = [frame.quantize(palette=palette, dither=Image.Dither.NONE) for frame in frames]
    times = [1200, *[350] * (len(frames) - 2), 2500]
    frames[0].save(
        ANIMATION, save_all=True, append_images=frames[1:], duration=times, loop=0, optimize=True
    )


if __name__ == "__main__":
    main()
