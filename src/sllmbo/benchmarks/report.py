"""
The page of a benchmark: what was run, on what, and what came out.
"""

from __future__ import annotations

from pathlib import Path

from sllmbo.benchmarks.results import Results
from sllmbo.benchmarks.summary import TOLERANCE, Summary, summarise


def write_report(folder: Path, results: Results, *, baseline: str, tolerance: float = TOLERANCE) -> Summary:
    """Write `summary.json`, `summary.md` and `report.md` into *folder*, and return the summary."""
    summary = summarise(results, baseline=baseline, tolerance=tolerance)
    summary.save(folder)
    return summary
