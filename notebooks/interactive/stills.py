"""Draw the stills of the interactive pictures with a headless browser.

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

STEPS = {"race": 12, "descent": 10}
"""Pictures of a training are drawn after some steps."""
BROWSER = shutil.which("chromium") or shutil.which("google-chrome")


def main() -> None:
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])
        tab = browser.new_page(viewport={"width": 660, "height": 900}, reduced_motion="reduce")
        for name in PICTURES:
            tab.set_content(page(name))
            picture = tab.locator(".alrp-picture")
            picture.wait_for()
            for _ in range(STEPS.get(name, 0)):
                picture.get_by_role("button", name="step").click()
            _save(_shot(picture), FOLDER / f"{name}.png")
        browser.close()


def _shot(picture) -> Image.Image:
    return Image.open(io.BytesIO(picture.screenshot(animations="disabled"))).convert("RGB")


def _save(image: Image.Image, path: Path) -> None:
    image.quantize(128).save(path, optimize=True)


if __name__ == "__main__":
    main()
