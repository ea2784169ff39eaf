"""
A study as a report and as plots: what to use, what it gains, who found it, and whether the reasons hold.
"""

from sllmbo.report.facts import Facts, collect
from sllmbo.report.page import to_html
from sllmbo.report.plots import (
    plot_edits,
    plot_failures,
    plot_history,
    plot_importances,
    plot_parallel,
    plot_pareto,
    plot_slices,
    plot_spending,
)
from sllmbo.report.text import to_markdown

__all__ = [
    "Facts",
    "collect",
    "plot_edits",
    "plot_failures",
    "plot_history",
    "plot_importances",
    "plot_parallel",
    "plot_pareto",
    "plot_slices",
    "plot_spending",
    "to_html",
    "to_markdown",
]
