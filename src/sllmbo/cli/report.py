"""
`sllmbo report`: what a study found, as one file for people.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, TypeAlias

import typer

from sllmbo.errors import ConfigError, SllmboError, StudyError

if TYPE_CHECKING:
    from optuna.study import Study

HELP = (
    "Write what a study found: what to use, its gain, who found it, and whether the reasons hold.\n\n"
    "STUDY is the folder of a tuning, or with --storage the name of any Optuna study. Without --out, HTML goes to "
    "report.html in that folder, or to STUDY-report.html here, and Markdown and JSON go to standard output. Exit "
    "code: 0, or 2 for a mistake in what was asked for."
)

Format: TypeAlias = Literal["html", "md", "json"]
_SUFFIXES: dict[str, Format] = {".html": "html", ".htm": "html", ".md": "md", ".markdown": "md", ".json": "json"}


def report(
    study: Annotated[
        str | None,
        typer.Argument(
            metavar="[STUDY]", help="Folder of a tuning, or name of a study; needless if a storage has one."
        ),
    ] = None,
    storage: Annotated[
        str | None, typer.Option(metavar="URL", help="Where Optuna keeps the study; sqlite in the folder if left out.")
    ] = None,
    out: Annotated[Path | None, typer.Option(metavar="FILE", help="Where the report goes.")] = None,
    form: Annotated[
        Format | None, typer.Option("--format", help="By the name of --out if left out, else html.", show_default=False)
    ] = None,
) -> int:
    """Do what `HELP` says."""
    try:
        if form is None and out is not None and out.suffix.lower() not in ("", *_SUFFIXES):
            raise ConfigError(f"{out.name!r} ends with no format of a report; use .html, .md or .json, or --format.")
        folder, found = _study(study, storage)
        form = form or _SUFFIXES.get(out.suffix.lower() if out is not None else "", "html")
        content = _rendered(found, folder, form)
        if form == "html" and out is None:
            out = _beside(folder, found)
        if out is None:
            print(content, end="")
        else:
            _write(out, content)
            print(f"The report is in {out}", file=sys.stderr)
    except SllmboError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


def _study(name: str | None, storage: str | None) -> tuple[Path | None, Study]:
    """Return the folder of the tuning, if there is one, and the study."""
    import optuna

    from sllmbo.tuner.storage import open_storage, without_password

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    folder, url = _folder(name), storage
    if folder is not None:
        saved = _saved(folder)
        url = url or (f"sqlite:///{folder / 'study.db'}" if (folder / "study.db").is_file() else saved.get("storage"))
        name = saved.get("study")
    if url is None:
        where = (
            f"The folder {str(folder)!r} holds no study"
            if folder
            else f"There is no folder {name!r}"
            if name
            else "No study is named"
        )
        raise ConfigError(f"{where}; name the folder of a tuning, or a study with --storage.")
    file = Path(url.partition("///")[2].partition("?")[0])
    if url.startswith("sqlite:///") and str(file) != "." and not file.is_file():
        raise ConfigError(f"There is no file {str(file)!r}; check --storage.")
    opened = open_storage(url)
    assert opened is not None
    names = [found.study_name for found in opened.get_all_studies()]
    if name is None and len(names) == 1:
        name = names[0]
    if name not in names:
        known = ", ".join(map(repr, names[:5])) + (" and others" if len(names) > 5 else "") or "none"
        what = "Name one of the studies" if name is None else f"There is no study {name!r}"
        raise StudyError(f"{what} in {without_password(url)!r}; it has {known}.")
    return folder, optuna.load_study(study_name=name, storage=opened)


def _folder(name: str | None) -> Path | None:
    """Return the folder of a tuning that *name* means: itself, or one where `sllmbo tune` puts them."""
    candidates = [Path(name), Path("sllmbo-out") / name] if name else []
    return next((path for path in candidates if path.is_dir()), None)


def _saved(folder: Path) -> dict[str, str | None]:
    try:
        record = json.loads((folder / "result.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return {name: record.get(name) for name in ("study", "storage")} if isinstance(record, dict) else {}


def _rendered(study: Study, folder: Path | None, form: Format) -> str:
    from sllmbo.report import collect, to_html, to_markdown

    facts = collect(study, folder)
    if form == "html":
        return to_html(study, facts)
    return to_markdown(facts) if form == "md" else json.dumps(facts.to_json(), indent=2, default=str) + "\n"


def _beside(folder: Path | None, study: Study) -> Path:
    from sllmbo.cli.options import slug

    return folder / "report.html" if folder is not None else Path(f"{slug(study.study_name)}-report.html")


def _write(path: Path, content: str) -> None:
    try:
        path.write_text(content, encoding="utf-8")
    except OSError as error:
        raise ConfigError(
            f"The report {str(path)!r} cannot be written: {error.strerror}; name another file."
        ) from error
