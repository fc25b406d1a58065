"""The first cell of docs/hosted.md finds the source on Colab and Kaggle, and the files of other hosts fit."""

import json
import re
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize("host", ["/content", "/kaggle/input"])
def test_the_first_cell_finds_the_source(tmp_path, monkeypatch, host):
    """Unpacked from a zip file, or as a folder in a folder; the command that follows is pip's."""
    page = (ROOT / "docs" / "hosted.md").read_text(encoding="utf-8")
    cell, command = re.search(r"```python\n(.*?)\n(%pip [^\n]*)\n```", page, re.S).groups()
    place = tmp_path / "host" / "uploaded"
    place.mkdir(parents=True)
    (place / "pyproject.toml").write_text('name = "another"')
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    if host == "/content":
        with zipfile.ZipFile(tmp_path / "host" / "alrp_ref-main.zip", "w") as archive:
            archive.writestr("alrp_ref-main/pyproject.toml", text)
    else:
        (place / "alrp_ref").mkdir()
        (place / "alrp_ref" / "pyproject.toml").write_text(text)
    monkeypatch.chdir(tmp_path)
    found = {}
    exec(cell.replace(host, str(tmp_path / "host")), found)
    assert (found["source"] / "pyproject.toml").read_text() == text
    assert command == "%pip install --no-deps {source}"


def test_the_files_of_other_hosts_ask_for_what_there_is():
    """An extra of pyproject.toml, and a command of the Makefile."""
    requirements = (ROOT / ".binder" / "requirements.txt").read_text()
    assert "\n.[notebooks]\n" in requirements and "\nnotebooks = [" in (ROOT / "pyproject.toml").read_text()
    container = json.loads((ROOT / ".devcontainer" / "devcontainer.json").read_text())
    assert container["postCreateCommand"].startswith("make install PIP_FLAGS=")
