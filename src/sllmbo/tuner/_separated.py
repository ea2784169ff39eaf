"""
Tables in files of separated values.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

_DECIMAL_COMMA = r"-?\d+(,\d+)?([eE][-+]?\d+)?"
NOTES, HEAD = "sllmbo:notes", "sllmbo:head"


def read_text(path: Path, separator: str) -> pd.DataFrame:
    """
    Return the table in a file of separated values.

    Raises:
        ValueError: If it cannot be read as one.
    """
    import pandas as pd

    frame: pd.DataFrame
    how: dict[str, Any] = {"encoding": "utf-8-sig", "low_memory": False}
    head = pd.read_csv(path, sep=separator, header=None, nrows=1, dtype=str, **how)
    if separator == "," and head.shape[1] == 1 and ";" in str(head.iloc[0, 0]):
        separator = ";"
        head = pd.read_csv(path, sep=separator, header=None, nrows=1, dtype=str, **how)
    with warnings.catch_warnings():
        warnings.simplefilter("error", pd.errors.ParserWarning)
        try:
            frame = pd.read_csv(path, sep=separator, index_col=False, **how)  # separators may end the rows
        except pd.errors.ParserWarning:
            raise ValueError(f"rows have more fields than the {head.shape[1]} of the header") from None
    frame.attrs[HEAD] = head.iloc[0].dropna()  # of two columns of one name, the second is renamed in the frame
    if separator != ",":
        _read_decimal_commas(frame)
    return frame


def _read_decimal_commas(frame: pd.DataFrame) -> None:
    import pandas as pd

    read = []
    for name in frame.columns:
        texts = frame[name].dropna()
        if (
            pd.api.types.infer_dtype(texts) == "string"
            and texts.str.contains(",").any()
            and texts.str.fullmatch(_DECIMAL_COMMA).all()
        ):
            read.append(f"{texts.iloc[0]!r} of {name!r}")
            frame[name] = frame[name].str.replace(",", ".").astype(float)
    if read:
        columns = f"{len(read)} column{'s' * (len(read) > 1)}"
        frame.attrs[NOTES] = [f"Decimal commas, as in {read[0]}, are read as such in {columns}."]
