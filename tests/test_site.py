"""The static site as its reader opens it: from a folder, in a real browser, without a network."""

import json
import math
import re
import runpy
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urldefrag

import nbformat
import pytest
import torch

from alrp_ref.paper import pairwise
from figures import hosted

pytest.importorskip("sphinx", reason="needs the site's packages: pip install '.[site]'")
pytest.importorskip("myst_nb", reason="needs the site's packages: pip install '.[site]'")

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "notebooks"))

import interactive  # noqa: E402

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


BUILD = """
import runpy, sys
from figures import hosted
hosted.repository = lambda: "https://github.com/someone/alrp_ref"
del sys.argv[0]
runpy.run_path(sys.argv[0], run_name="__main__")"""


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    """The whole site, built with an address; warnings of Sphinx are errors."""
    out = tmp_path_factory.mktemp("built") / "site"
    command = [sys.executable, "-c", BUILD, ROOT / "docs/site/build.py", out]
    run = subprocess.run(command, capture_output=True, text=True, timeout=300, cwd=ROOT)
    assert run.returncode == 0, run.stderr
    return out


class Page(HTMLParser):
    """What a page refers to, loads and names."""

    def __init__(self, path: Path):
        super().__init__()
        self.links, self.loads, self.ids, self.pictures = [], [], set(), []
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attributes):
        values = dict(attributes)
        self.ids.add(values.get("id"))
        if tag == "a" and "href" in values:
            self.links.append(values["href"])
        if tag == "img":
            self.pictures.append(values.get("alt"))
        loads = values.get("href") if tag == "link" and values.get("rel") not in ("canonical",) else values.get("src")
        if loads:
            self.loads.append(loads)


def pages(site: Path) -> dict[Path, Page]:
    return {path: Page(path) for path in site.rglob("*.html")}


def test_every_link_inside_the_site_leads_somewhere(site):
    """Each relative link is a file of the site, its fragment is on that page, and source files are shown as pages."""
    found = pages(site)
    for path, page in found.items():
        for link in page.links:
            address, fragment = urldefrag(link)
            if re.match(r"[a-z]+:", address) or link == "#":
                continue
            target = (path.parent / unquote(address)).resolve() if address else path.resolve()
            assert target.exists() and target.suffix != ".py", (path.name, link)
            if fragment and target.suffix == ".html":
                assert unquote(fragment) in found[target].ids, (path.name, link)


def test_each_chapter_can_be_taken_away_and_opened_elsewhere(site):
    """Its page links to Colab, to Binder, and to its notebook, which is ours with a cell that fetches the course."""
    chapters = sorted((ROOT / "notebooks").glob("*.ipynb"))
    assert len(chapters) == 14
    for path in chapters:
        (page, links) = (site / "notebooks" / path.name, Page(site / "notebooks" / f"{path.stem}.html").links)
        assert path.name in links
        hosts = ("colab.research.google.com/github/someone/alrp_ref", "mybinder.org/v2/gh/someone/alrp_ref")
        for host in hosts:
            assert [link for link in links if host in link and link.endswith(path.name)], (path.name, host)
        ours, theirs = (nbformat.read(one, as_version=4).cells for one in (path, page))
        assert "git clone --quiet --depth 1 https://github.com/someone/alrp_ref" in theirs.pop(1).source
        assert [cell.source for cell in ours if cell.cell_type == "code"] == [
            cell.source for cell in theirs if cell.cell_type == "code"
        ]


def test_without_an_address_no_chapter_has_such_links(tmp_path, monkeypatch):
    """The pages that Sphinx is given then name neither Colab nor Binder."""
    monkeypatch.setattr(hosted, "repository", lambda: None)
    runpy.run_path(str(ROOT / "docs" / "site" / "build.py"))["gather"](tmp_path, ["07"])
    first = nbformat.read(tmp_path / "notebooks" / "07_self_balance.ipynb", as_version=4).cells[0].source
    assert first.startswith("# 07 · ") and not re.search("colab|mybinder|<a ", first)


def test_the_api_says_what_a_name_is(site):
    """No entry of it has only the text that Python gives to a field of a named tuple."""
    text = (site / "api.html").read_text(encoding="utf-8")
    assert "localisation error of each positive" in text and "Alias for field number" not in text


def test_no_page_says_that_it_needs_a_kernel(site):
    """What a notebook says of pictures with or without a kernel is not on the site, which has none."""
    for path in (site / "notebooks").glob("[01]*.html"):
        assert not re.search("With(out)? a running kernel", path.read_text(encoding="utf-8")), path.name


def test_every_interactive_picture_of_a_notebook_lives_on_its_page(site):
    """Where a notebook has `interactive.widget("NAME")`, its page has the element that the picture's script fills."""
    shown = set()
    for path in (ROOT / "notebooks").glob("*.ipynb"):
        names = re.findall(r'interactive\.widget\(\\"(\w+)\\"\)', path.read_text(encoding="utf-8"))
        page = (site / "notebooks" / path.name).with_suffix(".html").read_text(encoding="utf-8")
        assert all(f'id="interactive-{name}"' in page for name in names), path.name
        shown |= set(names)
    assert shown == set(interactive.PICTURES)


def test_nothing_is_loaded_from_elsewhere(site):
    """No page loads a script, a style or a picture from another place than the site's folder."""
    for path, page in pages(site).items():
        for loaded in page.loads:
            assert loaded.startswith("data:") or not re.match(r"([a-z]+:)?//", loaded), (path.name, loaded)


def test_every_picture_has_a_text(site):
    """Each picture of each page has an alternative text."""
    for path, page in pages(site).items():
        assert all(page.pictures), path.name


def test_a_picture_of_the_course_has_the_words_of_its_cell(site):
    """What a notebook's metadata says of a picture is the alternative text of this picture, in full."""
    (path,) = (ROOT / "notebooks").glob("07_*.ipynb")
    words = [cell["metadata"]["alt"] for cell in json.loads(path.read_text())["cells"] if "alt" in cell["metadata"]]
    assert len(words) == 2
    assert set(words) <= set(Page(site / "notebooks" / path.with_suffix(".html").name).pictures)


def test_the_sidebar_lists_pages_to_read(site):
    """No source file is in it, and no page twice."""
    sidebar = (site / "index.html").read_text(encoding="utf-8").partition("sidebar-tree")[2].partition("</aside>")[0]
    listed = re.findall(r'href="([^"#]+)"', sidebar)
    assert len(listed) > 20 and len(set(listed)) == len(listed)
    assert not [link for link in listed if ".py" in link]


@pytest.fixture
def browser():
    """A page of Chromium that notes what it asks of a network."""
    driver = pytest.importorskip("playwright.sync_api", reason="needs Playwright: pip install playwright")
    if BROWSER is None:
        pytest.skip("needs a browser: apt-get install chromium, or Chrome")
    with driver.sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])
        page = chromium.new_page(viewport={"width": 1280, "height": 900})
        page.asked, page.failed = [], []
        page.on("request", lambda request: page.asked.append(request.url))
        page.on("pageerror", lambda error: page.failed.append(str(error)))
        yield page
        chromium.close()


def number(picture, row: str) -> float:
    """The last number of a row of a picture's table."""
    return float(picture.locator(f"tr[data-row='{row}'] td").last.inner_text())


def losses(anchors: list[dict]) -> dict[str, float]:
    """What Python says of the anchors of the first picture."""
    positives = [a for a in anchors if "iou" in a]
    scores = torch.tensor([a["score"] for a in anchors], dtype=torch.float64)
    targets = torch.tensor([int("iou" in a) for a in anchors])
    errors = torch.tensor([2 * (1 - a["iou"]) for a in positives], dtype=torch.float64)
    out = pairwise.alrp_loss(scores, targets, errors, delta=0.005)
    return {
        "cross entropy": float(torch.nn.functional.binary_cross_entropy(scores, targets.double())),
        "IoU Loss": float(errors.mean() / 2),
        "AP Loss": float(pairwise.ap_loss(scores, targets, delta=0.005, interpolated=False)),
        "aLRP Loss": float(out.cls + out.loc),
    }


def test_a_dragged_anchor_changes_the_losses_as_in_python(site, browser):
    """On the first page a mouse and an arrow key move an anchor, and the losses shown are Python's to four digits."""
    browser.goto((site / "index.html").as_uri())
    picture = browser.locator("#interactive-anchors")
    picture.locator(".alrp-picture").wait_for()
    assert number(picture, "aLRP Loss") == 0.53

    handle = picture.get_by_role("slider", name="score of anchor 2, negative")
    handle.scroll_into_view_if_needed()
    box = handle.bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    browser.mouse.move(x, y)
    browser.mouse.down()
    browser.mouse.move(x, y + 117, steps=5)
    browser.mouse.up()
    picture.get_by_role("slider", name="IoU of anchor 1", exact=True).press("ArrowDown")

    anchors = json.loads(picture.get_attribute("data-anchors"))
    assert anchors[1]["score"] < 0.6 and math.isclose(anchors[0]["iou"], 0.9)
    for name, expected in losses(anchors).items():
        assert number(picture, name) == pytest.approx(expected, abs=0.00006), name
    assert browser.failed == []
    assert all(url.startswith(("file:", "data:")) for url in browser.asked)


def test_a_ranking_sorts_itself_step_by_step(site, browser):
    """The buttons of the race step, play and reset it, and cross entropy, AP Loss and aLRP Loss end sorted."""
    browser.goto((site / "index.html").as_uri())
    picture = browser.locator("#interactive-race")
    picture.get_by_role("button", name="step").click()
    assert picture.get_attribute("data-step") == "1"
    picture.get_by_role("button", name="play").click()
    browser.wait_for_function("document.getElementById('interactive-race').dataset.step >= 3")
    for _ in range(30):
        picture.get_by_role("button", name="step").click()
    ends = picture.locator("tr[data-row='AP50'] td").all_inner_texts()
    assert ends == ["1.00"] * 3
    picture.get_by_role("button", name="reset").click()
    assert picture.get_attribute("data-step") == "0"


def test_the_third_button_and_the_buckets_show_what_python_computes(site, browser):
    """In chapter 13 RS Loss of a list with a positive moved, and AP Loss under a wider step, are Python's."""
    browser.goto((site / "notebooks/13_what_came_after.html").as_uri())
    picture = browser.locator("#interactive-negative")
    picture.get_by_role("button", name="RS Loss").click()
    picture.get_by_role("slider", name="score of positive 1").press("ArrowLeft")
    shown = json.loads(picture.get_attribute("data-scores"))
    assert shown["pos"][0] == pytest.approx(2.9)
    logits = torch.tensor(shown["pos"] + shown["neg"], dtype=torch.float64, requires_grad=True)
    targets, ious = (torch.arange(7) < 3).long(), 1 - torch.tensor(shown["errors"], dtype=torch.float64) / 2
    out = pairwise.rank_sort_loss(logits, targets, ious)
    out.ranking.backward()
    assert number(picture, "RS Loss") == pytest.approx(float(out.ranking.detach() + out.sorting), abs=0.00006)
    falls = picture.locator("tr[data-row='p1 (IoU 0.6)'] td").last.inner_text()
    assert falls == f"−{logits.grad[0]:.4f}" and logits.grad[0] > 0

    picture = browser.locator("#interactive-buckets")
    picture.locator("input").fill("1.2")
    assert picture.get_attribute("data-delta") == "1.2"
    exact, buckets, off = map(float, picture.locator("tr[data-row='AP Loss'] td").all_inner_texts())
    assert exact != buckets and off == pytest.approx(abs(exact - buckets), abs=0.00011)
    assert browser.failed == []


@pytest.mark.parametrize("name", interactive.PICTURES)
def test_a_picture_is_for_fingers_keys_and_screen_readers(browser, name):
    """On a phone each handle, slider and button has 24 pixels; an arrow key changes a value that is said in words."""
    browser.set_viewport_size({"width": 390, "height": 800})
    browser.set_content(interactive.page(name))
    picture = browser.locator(".alrp-picture")
    picture.wait_for()
    sliders, buttons = picture.get_by_role("slider").all(), picture.get_by_role("button").all()
    assert sliders or buttons
    for control in sliders + buttons:
        box = control.bounding_box()
        assert min(box["width"], box["height"]) >= 24, control.get_attribute("aria-label")
    for slider in sliders:
        before = slider.get_attribute("aria-valuetext")
        for key in ("ArrowLeft", "ArrowRight", "ArrowRight"):
            slider.press(key)
            if slider.get_attribute("aria-valuetext") != before:
                break
        assert before and slider.get_attribute("aria-valuetext") != before, slider.get_attribute("aria-label")
    if not sliders:
        picture.get_by_role("button", name="step").click()
    browser.wait_for_function("document.querySelector('[aria-live=polite]').textContent != ''", timeout=5000)
    assert browser.evaluate("document.documentElement.scrollWidth") <= 390 and browser.failed == []


@pytest.mark.parametrize("name", interactive.PICTURES)
def test_a_picture_shows_where_the_focus_is_and_has_a_dark_form(browser, name):
    """The focus of the keyboard draws something around a control of each kind, and in the dark the text is light."""
    browser.emulate_media(color_scheme="dark", reduced_motion="reduce")
    browser.set_content(interactive.page(name))
    picture = browser.locator(".alrp-picture")
    picture.wait_for()
    colour = picture.evaluate("node => getComputedStyle(node).color")
    assert min(map(int, re.findall(r"\d+", colour)[:3])) > 200
    kinds = [picture.locator(kind) for kind in (".handle", "rect.handle", "input", "button")]
    for control in [kind.first for kind in kinds if kind.count()]:
        before = picture.screenshot()
        control.focus()
        browser.keyboard.press("Shift")  # the browser shows the focus of those who use keys
        assert picture.screenshot() != before, control.get_attribute("aria-label")
        control.blur()


def test_formulas_are_drawn_and_the_search_finds(site, browser):
    """The API's formulas are pictures, and the search works where the site is a folder."""
    browser.goto((site / "api.html").as_uri())
    browser.locator("mjx-container svg").first.wait_for(state="attached")
    browser.goto(f"{(site / 'search.html').as_uri()}?q=precision")
    browser.locator("ul.search li a").first.wait_for()
    assert browser.failed == []


@pytest.mark.parametrize("width", [1280, 390])
def test_pages_fit_their_window(site, browser, width):
    """No page is wider than the window of a laptop or of a phone."""
    browser.set_viewport_size({"width": width, "height": 800})
    for path in (
        site / "index.html",
        site / "api.html",
        site / "docs/annotated_paper.html",
        *sorted((site / "notebooks").glob("0*.html")),
        site / "notebooks/13_what_came_after.html",
    ):
        browser.goto(path.as_uri())
        assert browser.evaluate("document.documentElement.scrollWidth") <= width, path.name


def test_what_is_wider_than_a_phone_shows_that_it_scrolls(site, browser):
    """A wide table and a long formula scroll, with a shadow at the end where there is more; a page does not."""
    browser.set_viewport_size({"width": 390, "height": 800})
    for page, kind in (("figures/comparison.html", ".table-wrapper"), ("docs/annotated_paper.html", "div.math")):
        browser.goto((site / page).as_uri())
        browser.wait_for_function(f"[...document.querySelectorAll('{kind}')].some(e => e.scrollWidth > e.clientWidth)")
        looks = browser.evaluate(
            f"[...document.querySelectorAll('{kind}')].filter(e => e.scrollWidth > e.clientWidth)"
            ".map(e => [getComputedStyle(e).overflowX, getComputedStyle(e).backgroundAttachment])"
        )
        assert all(look == ["auto", "local, local, scroll, scroll"] for look in looks)


def test_pictures_are_dimmed_in_the_dark(site, browser):
    """A plot on white, which is bright beside a dark page, is dimmed there, and only there."""
    browser.goto((site / "notebooks" / "07_self_balance.html").as_uri())
    for scheme, expected in (("dark", "brightness(0.85)"), ("light", "none")):
        browser.emulate_media(color_scheme=scheme)
        filters = browser.evaluate("[...document.querySelectorAll('article img')].map(e => getComputedStyle(e).filter)")
        assert set(filters) == {expected}
