"""The course as its reader opens it: JupyterLab in a real browser."""

import json
import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import nbformat
import pytest
import torch

from alrp_ref import giou_error, iou_error

playwright = pytest.importorskip("playwright.sync_api", reason="needs Playwright: pip install playwright")

NOTEBOOKS = Path(__file__).parents[1] / "notebooks"
BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
SECONDS = 1000  # Playwright counts in milliseconds
# What a cell raises is shown as stderr or as error, which depends on JupyterLab's version; the course writes neither.
ERRORS = "[data-mime-type$='jupyter.error'], [data-mime-type$='jupyter.stderr']"

pytestmark = pytest.mark.skipif(BROWSER is None, reason="needs a browser: apt-get install chromium, or Chrome")


@pytest.fixture
def lab(tmp_path, notebook_name):
    """The address of a JupyterLab server over a copy of the notebooks; the one to open has no outputs yet."""
    shutil.copytree(NOTEBOOKS, tmp_path / "notebooks", ignore=shutil.ignore_patterns(".*", "__pycache__"))
    notebook = nbformat.read(NOTEBOOKS / notebook_name, as_version=4)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.update(outputs=[], execution_count=None)
    nbformat.write(notebook, tmp_path / "notebooks" / notebook_name)
    settings = {  # every cell is in the page, however far down, and no dialogue is in the way
        "@jupyterlab/notebook-extension:tracker": {"windowingMode": "none"},
        "@jupyterlab/apputils-extension:notification": {"fetchNews": "false", "checkForUpdates": False},
    }
    (tmp_path / "lab").mkdir()
    (tmp_path / "lab" / "overrides.json").write_text(json.dumps(settings))
    folders = ("JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "JUPYTERLAB_WORKSPACES_DIR")
    environment = os.environ | {name: str(tmp_path / name) for name in (*folders, "JUPYTERLAB_SETTINGS_DIR")}
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    token, log = secrets.token_hex(8), open(tmp_path / "log", "w")
    options = {
        "--ServerApp.ip": "127.0.0.1",
        "--ServerApp.port": port,
        "--IdentityProvider.token": token,
        "--ServerApp.root_dir": tmp_path / "notebooks",
        "--LabApp.app_settings_dir": tmp_path / "lab",
    }
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root"]
    command += [f"{name}={value}" for name, value in options.items()]
    server = subprocess.Popen(command, env=environment, stdout=log, stderr=log, start_new_session=True)
    try:
        _wait_for(f"http://127.0.0.1:{port}/api/status?token={token}", server, tmp_path / "log")
        yield f"http://127.0.0.1:{port}/lab/tree/{notebook_name}?token={token}"
    finally:
        try:
            os.killpg(server.pid, signal.SIGTERM)  # its kernels end with it
            server.wait(timeout=20)
        except subprocess.TimeoutExpired:
            os.killpg(server.pid, signal.SIGKILL)
            server.wait()
        except ProcessLookupError:
            pass  # it did not even start
        log.close()


def _wait_for(address: str, server: subprocess.Popen, log: Path) -> None:
    for _ in range(120):
        assert server.poll() is None, log.read_text()
        try:
            urllib.request.urlopen(address, timeout=5).close()
            return
        except OSError:
            time.sleep(0.5)
    pytest.fail(f"JupyterLab does not answer: {log.read_text()}")


@pytest.fixture
def page(lab):
    """The notebook, opened and run from top to bottom."""
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=BROWSER, args=["--no-sandbox", "--disable-quic"])
        page = browser.new_page(viewport={"width": 1200, "height": 900})
        page.set_default_timeout(60 * SECONDS)
        page.goto(lab)
        page.locator(".jp-Notebook .jp-CodeCell").first.wait_for()
        page.get_by_text(re.compile(r"Python 3.* \| Idle")).first.wait_for()  # the status bar: the kernel is up
        page.get_by_role("menuitem", name="Run", exact=True).click()
        page.get_by_text("Run All Cells", exact=True).click()
        # All have run once the last one has a number; none runs after one that raised.
        finished = page.locator(".jp-CodeCell").last.locator(".jp-InputPrompt", has_text=re.compile(r"\d"))
        finished.or_(page.locator(ERRORS)).first.wait_for(state="attached", timeout=120 * SECONDS)
        yield page
        browser.close()


@pytest.mark.parametrize("notebook_name", ["05_alrp_loss.ipynb"])
def test_a_slider_of_a_picture_moves_the_numbers(page):
    """All cells of 05 run in JupyterLab; arrow keys on a slider bring the paper's aLRP Loss of R1."""
    assert page.locator(ERRORS).all_inner_texts() == []
    picture = page.locator(".alrp-picture")
    numbers = picture.locator("tr[data-row='aLRP Loss'] td")
    assert numbers.all_inner_texts()[:2] == ["0.5300", "0.8500"]
    slider = picture.get_by_role("slider", name="IoU of the box with the best score")
    slider.scroll_into_view_if_needed()
    for _ in range(40):
        slider.press("ArrowRight")
    assert slider.get_attribute("aria-valuetext") == "0.95"
    assert numbers.all_inner_texts()[:2] == ["0.5300", "0.5300"]
    assert page.locator(ERRORS).all_inner_texts() == []


@pytest.mark.parametrize("notebook_name", ["04_the_lrp_metric.ipynb"])
def test_an_interactive_picture_lives_in_jupyterlab(page):
    """The picture of the two boxes takes an arrow key and a mouse, and its errors are those of the package."""
    assert page.locator(ERRORS).all_inner_texts() == []
    picture = page.locator(".alrp-picture", has=page.get_by_role("slider", name="place of the prediction"))
    picture.wait_for()

    def boxes() -> list[torch.Tensor]:
        shown = [picture.get_by_role("slider", name=f"place of the {name}") for name in ("prediction", "object")]
        corners = [[float(v) for v in handle.get_attribute("aria-valuetext").split(",")] for handle in shown]
        return [torch.tensor([one], dtype=torch.float64) for one in corners]

    def errors() -> list[float]:
        return [float(picture.locator(f"tr[data-row='{kind}'] td").last.inner_text()) for kind in ("IoU", "GIoU")]

    handle = picture.get_by_role("slider", name="place of the prediction")
    handle.scroll_into_view_if_needed()
    before = boxes()[0]
    handle.press("ArrowLeft")
    assert (boxes()[0] - before).tolist() == [[-5, 0, -5, 0]]

    spot = handle.bounding_box()
    page.mouse.move(spot["x"] + 20, spot["y"] + 20)
    page.mouse.down()
    page.mouse.move(spot["x"] + 20, spot["y"] + 320, steps=5)
    page.mouse.up()
    prediction, truth = boxes()
    assert prediction[0, 1] > before[0, 1] + 50
    expected = [error(prediction, truth).item() for error in (iou_error, giou_error)]
    assert errors() == pytest.approx(expected, abs=0.01)  # the corners were rounded to whole numbers
    assert page.locator(ERRORS).all_inner_texts() == []
