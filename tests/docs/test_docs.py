"""
What the documents show runs.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from sllmbo_process import environment, python, sllmbo

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "ARCHITECTURE.md", *sorted((ROOT / "docs").rglob("*.md"))]
BLOCK = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\((?!https?:)([^)#]+)")


def _run(script: Path, folder: Path) -> None:
    done = python(script, cwd=folder, env=environment())
    assert 0 == done.returncode, done.stderr


@pytest.mark.parametrize("page", [page for page in PAGES if "```python" in page.read_text()], ids=lambda p: p.name)
def test_python_blocks_of_a_page_run(page, tmp_path) -> None:
    """Each page's Python blocks run one after the other, as a reader would type them."""
    blocks = BLOCK.findall(page.read_text())

    assert blocks
    (tmp_path / "page.py").write_text("\n".join(blocks))
    _run(tmp_path / "page.py", tmp_path)


SCRIPTS = [path for path in sorted((ROOT / "examples").glob("*.py")) if path.name != "demo.py"]


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda p: p.name)
def test_an_example_runs(script, tmp_path) -> None:
    """Examples run offline, from any folder."""
    _run(script, tmp_path)


@pytest.mark.skipif(sys.platform != "linux", reason="The memory of a process is limited as Linux does it.")
def test_the_example_of_a_command_runs(tmp_path) -> None:
    """A training script that really runs out of memory in part of its space is tuned; its failures have their class."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    script = ["sh", str(ROOT / "examples" / "command.sh"), "6"]
    env = {**os.environ, "PATH": path, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(script, cwd=tmp_path, env=env, capture_output=True, text=True, check=False)

    assert 0 == done.returncode, done.stderr
    assert "MemoryError: Unable to allocate" in done.stderr
    assert "FloatingPointError: the loss was" in done.stderr


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_links_between_pages_hold(page) -> None:
    """A link inside the repository leads somewhere."""
    broken = [link for link in LINK.findall(page.read_text()) if not (page.parent / link).exists()]

    assert [] == broken


def test_every_page_installs_from_the_clone() -> None:
    """The package is in no registry, so no page tells to install it from one."""
    assert [] == [page.name for page in PAGES if re.search(r"pip install [\"']?sllmbo", page.read_text())]


def test_the_options_that_the_readme_shows_exist() -> None:
    """Each long option of a `sllmbo tune` line in the README is one that the command has."""
    text = (ROOT / "README.md").read_text()
    shown = set(re.findall(r"(--[a-z][a-z-]+)", "\n".join(re.findall(r"^sllmbo tune .*$", text, re.MULTILINE))))
    helped = sllmbo("tune", "--help", cwd=ROOT, COLUMNS="200", TERM="dumb").stdout

    assert shown
    assert [] == [option for option in shown if option not in helped]
