"""The notebooks as a reader gets them: run, in order, complete, with solutions that are right.

`make test` also runs each of them and compares what it prints (nbval); here is what nbval does not look at.
"""

import ast
import base64
import contextlib
import importlib
import io
import json
import re
import symtable
import sys
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import SimpleNamespace

import matplotlib
import matplotlib.pyplot as plt
import nbformat
import pytest
import torch

from alrp_ref.paper import pairwise
from figures import fig1

NOTEBOOKS = Path(__file__).parents[1] / "notebooks"
sys.path.insert(0, str(NOTEBOOKS))

import check_my_alrp  # noqa: E402
import course  # noqa: E402
import execute  # noqa: E402
import interactive  # noqa: E402
import my_alrp  # noqa: E402
import paper_map  # noqa: E402
import three_detectors  # noqa: E402
import where  # noqa: E402

matplotlib.use("agg")  # the solutions' pictures open no windows
PATHS = sorted(NOTEBOOKS.glob("*.ipynb"))

every_notebook = pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)


def cells(path: Path, kind: str | None = None) -> list:
    found = nbformat.read(path, as_version=4).cells
    return [cell for cell in found if kind in (None, cell.cell_type)]


def tags(cell) -> set[str]:
    return set(cell.metadata.get("tags", []))


def test_the_course_has_fourteen_notebooks_from_00_to_13():
    """The course has fourteen notebooks, 00 to 13."""
    assert [path.name[:3] for path in PATHS] == [f"{number:02d}_" for number in range(14)]


@every_notebook
def test_it_was_run_from_top_to_bottom(path):
    """Execution counts are 1..n: the outputs are those of one run from a fresh kernel."""
    assert [cell.execution_count for cell in cells(path, "code")] == list(range(1, len(cells(path, "code")) + 1))


@every_notebook
def test_cells_that_print_or_draw_have_outputs(path):
    """A cell that prints, shows or draws has an output: the notebook was not stripped."""
    speaks = {"print", "table", "show", "still", "explore", "check", "plt.show", "display", "interactive.widget"}
    for cell in cells(path, "code"):
        calls = [node.value for node in ast.parse(_python(cell.source)).body if isinstance(node, ast.Expr)]
        if any(isinstance(call, ast.Call) and ast.unparse(call.func) in speaks for call in calls):
            assert cell.outputs, cell.source


@every_notebook
def test_an_interactive_picture_has_its_still(path):
    """Where no script runs, an interactive picture is the still that `stills.py` draws of it."""
    for cell in cells(path, "code"):
        if found := re.search(r'interactive\.widget\("(\w+)"\)', cell.source):
            still = (interactive.FOLDER / f"{found[1]}.png").read_bytes()
            assert base64.b64decode(cell.outputs[0].data["image/png"]) == still, "run `make notebooks`"


@every_notebook
def test_no_cell_failed_or_warned(path):
    """No output is an error, and nothing was written to stderr."""
    for cell in cells(path, "code"):
        for output in cell.outputs:
            assert output.output_type != "error", cell.source
            assert output.get("name") != "stderr", (cell.source, output.text)


@every_notebook
def test_it_names_no_place_on_a_disk(path):
    """No cell and no output holds an absolute path."""
    for cell in cells(path):
        data = [output.get("data", {"text": output.get("text")}) for output in cell.get("outputs", [])]
        words = [value for one in data for kind, value in one.items() if not kind.startswith("image/")]
        text = cell.source + json.dumps(words)
        assert not re.search(r"(?<![\w./])/(home|root|tmp|usr|var|opt|mnt|work|Users|private|content)/", text), text


@every_notebook
def test_an_output_that_is_not_compared_has_a_reason(path):
    """A cell whose output nbval ignores has a tag `reason:...`, and no other cell has one."""
    for cell in cells(path, "code"):
        assert ("nbval-ignore-output" in tags(cell)) == any(tag.startswith("reason:") for tag in tags(cell)), (
            cell.source
        )
        assert not tags(cell) & {"nbval-skip", "nbval-raises-exception"}, cell.source


@every_notebook
def test_an_output_that_is_kept_is_of_its_cell(path):
    """The text of a cell whose output nbval ignores has not been changed since."""
    for cell in cells(path, "code"):
        if "nbval-ignore-output" in tags(cell):
            assert execute.checksum(cell) in tags(cell), f"run `make notebooks`: {cell.source}"


@every_notebook
def test_no_cell_is_longer_than_25_lines(path):
    """A code cell fits on a screen."""
    for cell in cells(path, "code"):
        assert len(cell.source.splitlines()) <= 25, cell.source


@every_notebook
def test_it_opens_with_what_it_gives_and_closes_with_where_to_go(path):
    """The first cell says what the reader will be able to do, the time and the needs; the last one sums up."""
    first, *_, last = cells(path)
    for phrase in (f"# {path.name[:2]} · ", "**You will be able to**", "**Time**", "**Needs**"):
        assert phrase in first.source, phrase
    for phrase in ("## Summary", "Back: [", "Onward: ["):
        assert phrase in last.source, phrase


@every_notebook
def test_its_links_lead_somewhere(path):
    """Every relative link in text and outputs is a file of the repository."""
    for cell in cells(path):
        outputs = [output.get("data", {}).get("text/markdown", "") for output in cell.get("outputs", [])]
        text = "\n".join([cell.source if cell.cell_type == "markdown" else "", *outputs])
        for link in re.findall(r"\]\(([^)\s]+)\)", text):
            if not link.startswith(("http", "#")):
                assert (NOTEBOOKS / link).exists(), link


@every_notebook
def test_its_metadata_says_nothing_of_the_run(path):
    """No times, versions or widget states: running it again gives the same file."""
    notebook = nbformat.read(path, as_version=4)
    assert notebook.metadata == execute.METADATA
    for cell in notebook.cells:
        assert set(cell.metadata) <= {"tags", "alt"}
        assert not any(execute.WIDGET in output.get("data", {}) for output in cell.get("outputs", []))


def test_no_photograph_is_committed():
    """The pictures of notebook 10 were made from generated shapes: it says so in its first output."""
    (path,) = (path for path in PATHS if path.name.startswith("10_"))
    said = "".join(output.get("text", "") for cell in cells(path, "code") for output in cell.outputs)
    assert said.startswith("data: generated shapes\n")


def _fail(cell):
    cell.outputs = [nbformat.v4.new_output("error", ename="ValueError", evalue="", traceback=[])]


def _ignore(cell):
    cell.metadata.tags = ["nbval-ignore-output"]


@pytest.mark.parametrize(
    ("spoil", "test"),
    [
        (lambda cell: cell.outputs.clear(), test_cells_that_print_or_draw_have_outputs),
        (lambda cell: cell.update(execution_count=7), test_it_was_run_from_top_to_bottom),
        (_fail, test_no_cell_failed_or_warned),
        (lambda cell: cell.outputs[0].update(name="stderr"), test_no_cell_failed_or_warned),
        (lambda cell: cell.outputs[0].update(text="see /home/me/runs"), test_it_names_no_place_on_a_disk),
        (
            lambda cell: cell.metadata.update(tags=["nbval-ignore-output"]),
            test_an_output_that_is_not_compared_has_a_reason,
        ),
        (_ignore, test_an_output_that_is_kept_is_of_its_cell),
        (lambda cell: cell.update(source="\n" * 30), test_no_cell_is_longer_than_25_lines),
        (lambda cell: cell.metadata.update(execution={}), test_its_metadata_says_nothing_of_the_run),
    ],
)
def test_a_spoiled_notebook_is_found(spoil, test, tmp_path):
    """Each of these checks passes on a sound notebook and fails on one that was spoiled in its way."""
    output = nbformat.v4.new_output("stream", name="stdout", text="1")
    cell = nbformat.v4.new_code_cell("print(1)", id="c0", execution_count=1, outputs=[output])
    notebook, path = nbformat.v4.new_notebook(cells=[cell], metadata=execute.METADATA), tmp_path / "one.ipynb"
    nbformat.write(notebook, path)
    test(path)
    spoil(cell)
    nbformat.write(notebook, path)
    with pytest.raises(AssertionError):
        test(path)


def exercises(path: Path) -> list[tuple[int, int, str]]:
    """Of each exercise: the place of the stub, the place of its check, and the solution's code."""
    found, all_cells = [], cells(path)
    for place, cell in enumerate(all_cells):
        if "exercise" in tags(cell):
            solution = re.search(
                r"<details><summary>Solution</summary>.*?```python\n(.*?)```", all_cells[place + 2].source, re.S
            )
            assert solution, f"no folded solution after {cell.source!r}"
            found.append((place, place + 1, solution[1]))
    return found


@every_notebook
def test_it_has_three_exercises_that_are_open(path):
    """There are three exercises or more, each with a check that says it is not answered yet."""
    all_cells = cells(path)
    assert len(exercises(path)) >= 3
    for stub, check, _ in exercises(path):
        assert "..." in all_cells[stub].source
        assert "check(" in all_cells[check].source
        *_, text = (cell.source for cell in all_cells[:stub] if cell.cell_type == "markdown")
        assert re.search(r"^### Exercise \d", text, re.MULTILINE), all_cells[stub].source
        said = "".join(output.get("text", "") for output in all_cells[check].outputs)
        assert set(said.splitlines()) == {"not answered yet"}, all_cells[check].source


def solved(path: Path) -> dict[int, str]:
    """The code of each cell by its place in the notebook, with the solutions in place of the stubs."""
    code = {place: _python(cell.source) for place, cell in enumerate(cells(path)) if cell.cell_type == "code"}
    return code | {stub: solution for stub, _, solution in exercises(path)}


def needed(code: dict[int, str], wanted: Iterable[int]) -> dict[int, str]:
    """The cells that are wanted, the first, which imports and sets the dtype, and all that define what these use."""
    kept, used = {*wanted, next(iter(code))}, set()
    for place in reversed([*code]):
        statements = [symtable.symtable(ast.unparse(s), "", "exec") for s in ast.parse(code[place]).body]
        if place in kept or any(_defined(statement) & used for statement in statements):
            kept.add(place)
            for statement in reversed(statements):
                used = (used - _defined(statement)) | _used(statement)
    return {place: source for place, source in code.items() if place in kept}


def _defined(statement: symtable.SymbolTable) -> set[str]:
    """The names that a statement gives a value to."""
    return {s.get_name() for s in statement.get_symbols() if s.is_assigned() or s.is_imported()}


def _used(table: symtable.SymbolTable) -> set[str]:
    """The names of the notebook that a statement, or a function in it, reads."""
    is_all = table.get_type() == "module"
    own = {s.get_name() for s in table.get_symbols() if s.is_referenced() and (is_all or s.is_global())}
    return own.union(*map(_used, table.get_children()))


def run(path: Path, code: dict[int, str]) -> Iterator[tuple[int, str]]:
    """Run cells of a notebook: the place of each, and what it prints."""
    namespace = {"__name__": "__main__", "display": lambda *_: None}
    dtype = torch.get_default_dtype()
    try:
        for place, source in code.items():
            with contextlib.redirect_stdout(io.StringIO()) as said:
                exec(compile(source, f"{path.name}[{place}]", "exec"), namespace)
            yield place, said.getvalue()
    finally:
        for folder in namespace.values():  # the cell that removes them may be left out
            if isinstance(folder, tempfile.TemporaryDirectory):
                folder.cleanup()
        torch.set_default_dtype(dtype)
        plt.close("all")


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of numpy, where matplotlib is given a tensor
@every_notebook
def test_its_solutions_are_right_and_other_answers_are_told_what_is_wrong(path, monkeypatch, capsys):
    """Each exercise takes its solution, rounded or as a list, names two wrong answers or more, and explains text."""
    monkeypatch.chdir(NOTEBOOKS)
    judge, known = course.check, []
    monkeypatch.setattr(course, "check", lambda *asked, **options: known.append((asked, options)))
    checks = {check for _, check, _ in exercises(path)}
    for place, _ in run(path, needed(solved(path), checks)):
        if place in checks:
            assert sum(len(options.get("wrong", {})) for _, options in known) >= 2, cells(path)[place].source
            for (solution, expected), options in known:

                def said(answer, expected=expected, options=options) -> str:
                    judge(answer, expected, **options)
                    return capsys.readouterr().out.rstrip("\n")

                assert said(solution) == "right", cells(path)[place].source
                _try_answers(said, expected, options.get("wrong", {}))
        known.clear()


def _try_answers(said, expected, wrong: dict) -> None:
    """Ask `said`, the check of an exercise, about right, wrong, rounded and listed answers, and about text."""
    assert said(expected) == "right"
    for reason, mistaken in wrong.items():
        assert said(mistaken) == f"wrong: {reason}"
    assert said("a few").startswith("wrong: 'a few' is ")
    if isinstance(expected, set):
        assert said(sorted(expected)) == "right"
        return
    numbers = torch.as_tensor(expected, dtype=torch.float64).detach()
    assert said(numbers.tolist()) == "right"
    assert said([numbers.tolist()]).startswith("wrong: the shape is ")
    two_digits = [x if x.is_integer() else float(f"{x:.2g}") for x in numbers.flatten().tolist()]
    assert said(torch.tensor(two_digits, dtype=torch.float64).view(numbers.shape)).startswith("right")


@pytest.mark.parametrize("path", PATHS[1:], ids=lambda path: path.stem)
def test_its_question_is_that_of_the_map(path):
    """The first cell asks the question that the table of chapters in notebook 00 gives to this chapter."""
    (table,) = (cell.source for cell in cells(PATHS[0]) if cell.source.startswith("## The course"))
    questions = dict(re.findall(r"^\| (\d\d) \| .*?\.ipynb\) \| (.*?\?) \|", table, re.MULTILINE))
    assert len(questions) == len(PATHS) - 1
    assert f"**The question** {questions[path.name[:2]]}\n" in cells(path)[0].source


@pytest.mark.parametrize("path", PATHS[1:], ids=lambda path: path.stem)
def test_it_comes_back_to_the_three_detectors(path):
    """A cell asks "And R1, R2, R3?", and the cell after it computes with the three detectors and shows the result."""
    all_cells = cells(path)
    (place,) = (k for k, cell in enumerate(all_cells) if "And R1, R2, R3?" in cell.source)
    assert re.search(r"\b(SCORES|IOUS|ERRORS)\b", all_cells[place + 1].source)
    assert all_cells[place + 1].outputs


def test_the_three_detectors_are_those_of_figure_1():
    """Their scores, positives, IoUs and width of a step are those that the figure is drawn from."""
    assert torch.equal(three_detectors.SCORES, fig1.SCORES) and three_detectors.HARD == fig1.HARD
    assert three_detectors.TARGETS.nonzero().flatten().tolist() == fig1.POSITIVES
    assert [tuple(ious.tolist()) for ious in three_detectors.IOUS.values()] == [*fig1.IOUS.values()]


def _draws(cell) -> bool:
    """Whether a cell has a picture of its own; a picture with sliders or handles says its numbers itself."""
    drawn = any(kind.startswith("image/") for output in cell.get("outputs", []) for kind in output.get("data", {}))
    return drawn and not re.search(r"^(still|interactive\.widget)\(", cell.source, re.MULTILINE)


@every_notebook
def test_its_pictures_have_a_caption_and_a_text(path):
    """The paragraph before a picture says what it shows, and the cell has words for those who cannot see it."""
    said = ""
    for cell in cells(path):
        if cell.cell_type == "markdown":
            said = cell.source.strip().split("\n\n")[-1]
        assert ("alt" in cell.metadata) == _draws(cell), cell.source
        if _draws(cell):
            assert said.startswith(("The picture: ", "The picture shows ")), cell.source
            assert 60 <= len(cell.metadata.alt) <= 300 and cell.metadata.alt.endswith("."), cell.metadata.alt


def _python(source: str) -> str:
    """A cell without IPython's own commands."""
    return re.sub(r"^[%!].*$", "", source, flags=re.MULTILINE)


def _public_functions() -> list:
    modules = paper_map.files()
    return [pytest.param(f, id=f"{m.__name__}.{name}") for m in modules for name, f in paper_map.public(m).items()]


@pytest.mark.parametrize("function", _public_functions())
def test_every_public_function_of_the_paper_is_taught_and_tested(function):
    """No public function of the paper's files is without a notebook that uses it and a test that calls it."""
    assert paper_map.notebooks_using(function), "no notebook uses it"
    assert paper_map.tests_using(function), "no test calls it"


WITHOUT_SYMBOLS = ("ap", "pairwise", "bins", "losses")
"""AP Loss, the judge, the engine and the losses use the symbols of the other files."""


@pytest.mark.parametrize("module", paper_map.files(), ids=lambda module: module.__name__)
def test_every_file_of_the_paper_brings_its_symbols(module):
    """Each of the paper's files has its symbols in the table, unless it uses those of the others."""
    name = module.__name__.removeprefix("alrp_ref.").replace(".", "/")
    assert (f"[{name}.py]" in paper_map.symbols()) == (name.rpartition("/")[2] not in WITHOUT_SYMBOLS)


@pytest.mark.parametrize(
    ("answer", "expected", "said"),
    [
        (..., 1.0, "not answered yet"),
        (None, 1.0, "not answered yet"),
        (1.0, 1.0, "right"),
        (torch.tensor([1.0, 2.5]), [1.0, 2.0], "wrong: off by 0.5"),
        ([1.0], [1.0, 2.0], "wrong: the shape is (1,), it should be (2,)"),
        (float("nan"), 1.0, "wrong: off by nan"),
        (0.35, 0.3536, "right to two digits; exactly 0.3536"),
        ([0.354, 2], [0.3536, 2.0], "right to three digits; exactly 0.3536, 2"),
        (0.36, 0.3536, "wrong: off by 0.0064"),
        (10_900, 10_912, "wrong: off by 12"),
        ("0.5", 0.5, "wrong: '0.5' is text; write a number, without quotation marks"),
        ("few", [1.0, 2.0], "wrong: 'few' is text; write numbers of the shape (2,), without quotation marks"),
        ({}, 0.5, "wrong: {} is not a number"),
        ("boxes", "misses", "wrong: 'boxes' is not it"),
        ({"a1", "a3"}, {"a3", "a1"}, "right"),
        (["a1", "a3"], {"a3", "a1"}, "right"),
        ({"a1"}, {"a3", "a1"}, "wrong: {'a1'} is not it"),
        ("a1", {"a3", "a1"}, "wrong: 'a1' is not a set of names, as the text gives an example of"),
    ],
)
def test_a_check_says_right_or_wrong_and_by_how_much(answer, expected, said, capsys):
    """An exercise's check tells an open, a right and a wrong answer apart."""
    course.check(answer, expected)
    assert capsys.readouterr().out.strip() == said


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (2.25, "right"),
        (2.2, "right to two digits; exactly 2.25"),
        (-2.25, "wrong: this is the update"),
        (-2.2, "wrong: this is the update"),
        (2.2501, "wrong: this is near"),
        (3.0, "wrong: off by 0.75"),
        (..., "not answered yet"),
    ],
)
def test_a_wrong_answer_that_is_often_given_is_named(answer, said, capsys):
    """A check that knows a wrong answer, rounded or not, says what is wrong with it; a right one is right."""
    wrong = {"this is the update": -2.25, "this is near": 2.2501, "never said": 2.25}
    course.check(answer, 2.25, tolerance=1e-6, wrong=wrong)
    assert capsys.readouterr().out.strip() == said


def test_running_a_notebook_again_changes_nothing(tmp_path):
    """What `make notebooks` writes is the same, byte for byte, the second time: pictures, widgets, times, too."""
    picture = """
from course import explore, plt
from ipywidgets import FloatSlider
from matplotlib.figure import Figure

plt.plot([0, 1])
plt.show()
explore(lambda x: (Figure(), f"{x:.1f}"), x=FloatSlider(1.0))"""
    code = [
        (picture, {"collapsed": True, "alt": "A line."}),
        ("import time\ntime.time()", {"tags": ["nbval-ignore-output"]}),
    ]
    made = [nbformat.v4.new_code_cell(source, id=f"c{k}", metadata=m) for k, (source, m) in enumerate(code)]
    (tmp_path / "course.py").write_text(Path(course.__file__).read_text())
    path, runs = tmp_path / "one.ipynb", []
    nbformat.write(nbformat.v4.new_notebook(cells=made), path)
    for _ in range(2):
        execute.main([str(path)])
        runs.append(path.read_bytes())
    assert runs[0] == runs[1]
    assert b"sliders, with a running kernel: x" in runs[0]
    assert b"image/png" in runs[0] and b"A line." in runs[0] and b"collapsed" not in runs[0]


def pages(path: Path) -> list[str]:
    """What the cells of a notebook show as Markdown."""
    outputs = [output for cell in cells(path, "code") for output in cell.outputs]
    return [output.data["text/markdown"] for output in outputs if "text/markdown" in output.get("data", {})]


@every_notebook
def test_code_on_the_page_is_that_of_the_package(path: Path):
    """After a change of the package, `make notebooks` shows it as it now is. (nbval says so, too, minutes later.)"""
    for page in pages(path):
        if found := re.match(r"\[`([\w.]+)`\]\(\.\./alrp_ref/([\w/]+)\.py\)", page):
            name, module = found[1], found[2].replace("/", ".")
            thing = importlib.import_module(f"alrp_ref.{module}")
            for part in name.removeprefix(f"{module}.").split("."):
                thing = getattr(thing, part)
            assert page == course.shown(thing), f"{path.name} shows another {name}: run `make notebooks`"


def test_the_map_is_up_to_date():
    """After a new test or function, `make notebooks` draws it anew."""
    assert paper_map.paper_map() in pages(NOTEBOOKS / "00_start_here.ipynb"), "run `make notebooks`"


def _right() -> dict:
    """The eight functions of `my_alrp.py`, written."""

    def lrp_error(s_pos, s_neg, e_loc):
        boxes = e_loc + pairwise.others_above(s_pos) @ e_loc
        return (pairwise.n_fp(s_pos, s_neg) + boxes) / pairwise.rank(s_pos, s_neg)

    def target(s_pos, s_neg, e_loc):
        return e_loc / pairwise.rank(s_pos, s_neg)

    def score_gradients(s_pos, s_neg, e_loc):
        p = pairwise.distribution(s_pos, s_neg)
        return pairwise.gradient(lrp_error(s_pos, s_neg, e_loc), target(s_pos, s_neg, e_loc), p)

    def parts(s_pos, s_neg, e_loc):
        cls = pairwise.n_fp(s_pos, s_neg) / pairwise.rank(s_pos, s_neg)
        return cls.mean(), (lrp_error(s_pos, s_neg, e_loc) - cls).mean()

    own = {f.__name__: f for f in (lrp_error, target, score_gradients, parts)}
    return {name: getattr(pairwise, name) for name in ("step", "n_fp", "rank", "distribution")} | own


def test_the_readers_own_loss_is_open_as_it_comes_and_right_once_written():
    """All functions of `my_alrp.py` are open; written right, all tests of notebook 12 are green."""
    assert check_my_alrp.verdicts(my_alrp) == dict.fromkeys(check_my_alrp.NAMES, "not written yet")
    assert check_my_alrp.verdicts(SimpleNamespace(**_right())) == dict.fromkeys(check_my_alrp.NAMES, "right")


@pytest.mark.parametrize("name", check_my_alrp.NAMES)
@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda got: got + 0.01, "is off by 0.01"),
        (lambda got: got[:-1] if got.ndim else got[None], "has the shape"),
        (lambda got: got.no_such_thing, "raises AttributeError"),
    ],
)
def test_a_wrong_function_of_the_readers_loss_is_named(name, spoil, said):
    """One wrong function is found, and only this one; the verdict says what is wrong with it."""

    def wrong(*arguments):
        got = _right()[name](*arguments)
        return tuple(map(spoil, got)) if isinstance(got, tuple) else spoil(got)

    verdicts = check_my_alrp.verdicts(SimpleNamespace(**_right() | {name: wrong}))
    assert said in verdicts.pop(name)
    assert set(verdicts.values()) == {"right"}


WITHOUT_OBJECTS = """
net = detector(ALRPLoss(period=None)).train()
(image, target), empty = examples[0], {"boxes": torch.zeros(0, 4), "labels": torch.zeros(0, dtype=torch.int64)}
for targets in ([target, empty], [empty, empty]):
    losses = net([image, image], targets)
    sum(losses.values()).backward()
    print(*(float(value.detach()) > 0 for value in losses.values()))
"""


def test_the_detector_of_notebook_12_takes_pictures_without_objects(monkeypatch):
    """Beside a picture with objects and by themselves, where both parts of the loss are zero."""
    monkeypatch.chdir(NOTEBOOKS)
    path = NOTEBOOKS / "12_in_your_own_detector.ipynb"
    code = solved(path)
    place = max(code) + 1
    code = {k: v.replace("train_images=320, val_images=60", "train_images=1, val_images=1") for k, v in code.items()}
    said = dict(run(path, needed(code | {place: WITHOUT_OBJECTS}, {place})))[place]
    assert said.split() == ["True", "True", "False", "False"]


def test_the_readers_own_loss_trains_a_detector_as_that_of_the_package_does(monkeypatch):
    """Once it is written, the comparison of notebook 12 runs, and both losses give the same curves."""
    monkeypatch.chdir(NOTEBOOKS)
    for name, function in _right().items():
        monkeypatch.setattr(my_alrp, name, function)
    monkeypatch.setattr("importlib.reload", lambda module: module)  # the file itself stays open
    path = NOTEBOOKS / "12_in_your_own_detector.ipynb"
    code = {k: v.replace("    compare()", "    compare(steps=6, period=2)") for k, v in solved(path).items()}
    place = next(k for k, v in code.items() if "compare(steps=6" in v)
    said = dict(run(path, needed(code, {place})))[place]
    assert float(said.removeprefix("largest difference of the curves: ")) < 1e-3


@every_notebook
def test_the_picture_of_the_course_is_lit_at_this_chapter(path):
    """The first cell has the picture of the course with its own step lit, drawn as where.py draws it, with words."""
    number = int(path.name[:2])
    assert where.link(number) in cells(path)[0].source
    assert (where.FOLDER / f"{number:02d}.svg").read_text(encoding="utf-8") == where.picture(number)
