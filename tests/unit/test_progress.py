"""
What the command line tells while it tunes: lines that fit, text that steers no terminal, words for numbers.
"""

import io
import logging
import shlex

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from sllmbo.cli.options import default_study_name, slug
from sllmbo.cli.progress import Progress, duration, listen, number, printable, trial_line
from sllmbo.cli.summary import with_option

RECORD = {
    "number": 7,
    "state": "complete",
    "value": 0.9712,
    "improved": True,
    "source": "llm",
    "rationale": "Why.",
    "failure": "",
    "fallback": "",
    "params": {"x": 1.0},
}


@pytest.fixture
def _own_logger():
    logger = logging.getLogger("sllmbo")
    handlers, propagate = list(logger.handlers), logger.propagate
    yield
    logger.handlers, logger.propagate = handlers, propagate


def _line(width=100, best=0.9712, **changed):
    return trial_line({**RECORD, **changed}, best, width).plain


@given(
    text=st.text(), source=st.text(), width=st.integers(60, 250), state=st.sampled_from(["complete", "fail", "pruned"])
)
def test_the_line_of_a_trial_fits_and_steers_no_terminal(text, source, width, state) -> None:
    """Whatever an advisor or an error says, the line is at most as wide as the terminal and printable."""
    failure = text if state == "fail" else ""

    line = _line(width, state=state, rationale=text, source=source, failure=failure, fallback=text)

    assert cell_len(line) <= width
    assert line.isprintable()


@given(st.text())
def test_printable_text_is_one_line(text) -> None:
    """No control character is left, and nothing is added when it is done again."""
    assert printable(text).isprintable()
    assert printable(text) == printable(printable(text))


def test_the_line_marks_what_matters() -> None:
    """An improvement has a star; a failure says its class and reason; a fallback says that advice was missing."""
    assert "    7    0.971200 *    0.971200  llm            Why." == _line()
    assert "    7    0.971200      0.980000  llm            Why." == _line(improved=False, best=0.98)
    assert "    7      failed             -  llm            MemoryError: full" == _line(
        state="fail", value=None, improved=False, best=None, failure="MemoryError: full"
    )
    assert "no advice: Unavailable: down" in _line(source="tpe", rationale="", fallback="Unavailable: down")
    assert _line(source="tpe", rationale="", params={"x": 0.123456, "y": "a"}).endswith("x=0.1235, y=a")


def test_a_long_reason_is_cut_with_an_ellipsis() -> None:
    """What does not fit ends with an ellipsis, at the width."""
    line = _line(80, rationale="because " * 30)

    assert (80, "…") == (cell_len(line), line[-1])


def test_without_a_terminal_lines_are_plain_and_the_status_is_silent() -> None:
    """In a pipe there are no escape codes, no status line, and facts are not wrapped."""
    stream = io.StringIO()
    progress = Progress(stream)

    progress.status("under way")
    progress.fact("Label", "word " * 100, "bold")
    progress.error("It\nfailed \x1b[31mbadly")

    assert ["Label      " + "word " * 99 + "word", "It failed [31mbadly"] == stream.getvalue().splitlines()


@pytest.mark.usefixtures("_own_logger")
def test_a_warning_is_told_once() -> None:
    """The package's warnings appear among the progress, each once."""
    stream = io.StringIO()
    listen(Progress(stream))
    for _ in range(3):
        logging.getLogger("sllmbo.llm").warning("The price of %s is unknown.", "x")

    assert "Warning    The price of x is unknown.\n" == stream.getvalue()


@pytest.mark.parametrize(
    ("seconds", "words"), [(0.04, "0.0 s"), (9.96, "10.0 s"), (42, "42 s"), (600, "10 min"), (7260, "2 h 1 min")]
)
def test_durations_are_as_coarse_as_people_want_them(seconds, words) -> None:
    """Seconds with a decimal, seconds, minutes, then hours."""
    assert words == duration(seconds)


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_numbers_keep_six_digits(value) -> None:
    """A value reads back as itself, to six significant digits."""
    assert value == pytest.approx(float(number(value)), rel=1e-5, abs=0)


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ("sllmbo tune a.csv --trials 5 --cv 2", "sllmbo tune a.csv --trials 9 --cv 2"),
        ("sllmbo tune a.csv --trials=5", "sllmbo tune a.csv --trials=9"),
        ("sllmbo tune a.csv", "sllmbo tune a.csv --trials 9"),
    ],
)
def test_an_option_is_set_in_place(command, expected) -> None:
    """The command for going on is the one that was given, with one option changed."""
    assert expected == shlex.join(with_option(shlex.split(command), "--trials", 9))


@given(st.text())
def test_any_study_name_is_one_path_component(name) -> None:
    """The folder of a study lies in the folder of results, whatever the study is called."""
    folder = slug(name)

    assert folder not in ("", ".", "..")
    assert not set(folder) & set("/\\:\0")
    assert folder == slug(folder)


def test_the_default_study_name_is_readable(tmp_path) -> None:
    """Data, estimator, method, chat model and seed, without endings and module paths."""

    def name(file, *options):
        return default_study_name(tmp_path / file, *options)

    assert "my-data.v2-lightgbm-llm-tpe-seed0" == name("my data.v2.csv.gz", "lightgbm", "llm-tpe", "offline", 0)
    assert "d-Ridge-tpe-seed7" == name("d.PARQUET", "own.module:Ridge", "tpe", "openai:x", 7)
    assert "d-svm-llm-tpe-openai-x-seed7" == name("d.csv", "svm", "llm-tpe", "openai:x", 7)
