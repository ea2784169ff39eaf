"""
`sllmbo tune --list`: what can be tuned, and by which metrics.
"""

from __future__ import annotations


def listing() -> str:
    """Return the estimators with their kinds and availability, and the metrics with their directions, as text."""
    from sllmbo.tuner.estimators import estimator_names
    from sllmbo.tuner.metrics import metric_names

    lines = ["Estimators (--estimator)", ""]
    for entry in estimator_names():
        available = "installed" if entry.available else f"not installed: {entry.install}"
        lines.append(f"  {entry.name:<24}{', '.join(entry.kinds):<30}{available}")
    lines += ["", "  Any class that is compatible with scikit-learn can be given by its import path too."]
    for kind in ("classification", "regression"):
        lines += ["", f"Metrics for {kind} (--metric)", ""]
        lines += [f"  {name:<40}{direction}" for name, direction in metric_names(kind).items()]
    return "\n".join(lines)
