"""
The last words of a tuning: what was found, by whom, at what cost, where it lies, and what to do next.
"""

from __future__ import annotations

import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sllmbo.cli.progress import Progress, number, printable, short
from sllmbo.tuner.result import BEST, ESTIMATOR, RESULT, TRIALS, TuneResult
from sllmbo.tuner.storage import without_password
from sllmbo.worth import SourceWorth

_MOST_OF_FRONT = 12


def keep_and_tell(progress: Progress, result: TuneResult, folder: Path, *, n_trials: int, offline: bool) -> None:
    """Save *result* in *folder*, and print what it says and what can be done next with the command that was given."""
    result.save(folder)
    tell_result(progress, result, folder)
    typed = ["sllmbo", *sys.argv[1:]]
    tell_next_steps(progress, result, typed, folder=folder, n_trials=n_trials, offline=offline)


def tell_result(progress: Progress, result: TuneResult, folder: Path) -> None:
    """Print what *result* says and where its files lie."""
    progress.line()
    progress.fact("Best", f"{result.metric} {number(result.best_value)}{_against_default(result)}", "bold green")
    if result.best_interval is not None:
        progress.fact("Chosen", _chosen(result.best_interval, result.n_repeats))
    if result.heldout_best is not None:
        progress.fact("Held out", _held_out(result))
    if result.measures:
        progress.fact("Measured", ", ".join(f"{name} {short(told)}" for name, told in result.measures.items()))
    if result.heldout_ensemble is not None or result.ensemble:
        progress.fact("Ensemble", _ensemble(result))
    progress.fact("Params", ", ".join(_params(result)))
    if result.pareto:
        _tell_front(progress, result)
    progress.line()
    if result.shortlist:
        _tell_shortlist(progress, result)
        progress.line()
    _tell_sources(progress, result)
    progress.line()
    progress.fact("Advisor", _cost(result))
    if result.worth is not None and (result.advisor or result.worth.advisor_trials or result.usage.calls):
        progress.fact("Worth", result.worth.verdict)
    files = [RESULT, TRIALS, BEST, *([ESTIMATOR] if result.estimator is not None else [])]
    progress.fact("Files", f"{', '.join(files)} in {folder}")


def _against_default(result: TuneResult) -> str:
    if result.default_value is None:
        return ""
    default = number(result.default_value)
    if result.best_params == _default(result):
        better = "which is the best compromise" if result.objectives else "which no trial has bettered"
        return f": the default configuration, {better if result.best_interval is None else 'the best by repeats'}"
    if not result.gain:
        return f" (default {default}, the same)"
    if result.gain < 0 and not result.objectives:  # an estimate, against a single value
        return f" (default {default} in one value)"
    than = "better" if result.gain > 0 else "worse"
    return f" (default {default}, {than} by {_share(abs(result.gain), result.default_value)})"


def _default(result: TuneResult) -> Mapping[str, Any]:
    """Return the default configuration, as far as it has a value."""
    return next((t["params"] for t in result.trials if t["source"] == "default" and t["state"] == "complete"), {})


def _chosen(interval: tuple[float, float], repeats: int) -> str:
    low, high = interval
    expected = f"{number((low + high) / 2)} +- {(high - low) / 2:.2g}"
    return f"among the leaders by {repeats} repeat{'s' * (repeats > 1)}: {expected}"


def _held_out(result: TuneResult) -> str:
    assert result.heldout_best is not None
    text = f"{number(result.heldout_best)} on the rows that no trial saw"
    if result.heldout_default is None:
        return text
    gain = result.heldout_best - result.heldout_default
    gain = -gain if result.direction == "minimize" else gain
    verdict = "the same"
    if gain:
        verdict = f"{'better' if gain > 0 else 'worse'} by {_share(abs(gain), result.heldout_default)}"
    return f"{text} (default {number(result.heldout_default)}, {verdict})"


def _ensemble(result: TuneResult) -> str:
    assert result.ensemble_value is not None
    text = f"{len(result.ensemble)} configurations together: {number(result.ensemble_value)} over the folds"
    if result.heldout_ensemble is None or result.heldout_best is None:
        return text
    gain = result.heldout_ensemble - result.heldout_best
    gain = -gain if result.direction == "minimize" else gain
    verdict = (
        "the same as"
        if not gain
        else f"{'better' if gain > 0 else 'worse'} by {_share(abs(gain), result.heldout_best)} than"
    )
    return f"{text}, {number(result.heldout_ensemble)} held out ({verdict} the best one alone)"


def _tell_shortlist(progress: Progress, result: TuneResult) -> None:
    progress.line(f"{'estimator':<24}{'trials':>7}{'failed':>8}{'default':>12}{'best':>12}", "bold")
    for entry in result.shortlist:
        values = f"{number(entry['default_value']):>12}{number(entry['best_value']):>12}"
        line = f"{printable(entry['estimator']):<24}{entry['trials']:>7}{entry['failed']:>8}{values}"
        progress.line(line, "green" if entry["estimator"] == result.estimator_name else "")


def _share(gain: float, than: float) -> str:
    percent = f", {100 * gain / abs(than):.2g} %" if gain < 0.99 * abs(than) else ""
    return f"{gain:.3g}{percent}"


def _params(result: TuneResult) -> list[str]:
    default = _default(result)
    return [
        f"{name}={short(value)}" + (f" (was {short(default[name])})" if default.get(name, value) != value else "")
        for name, value in result.best_params.items()
    ]


def _tell_sources(progress: Progress, result: TuneResult) -> None:
    earned = result.worth.sources if result.worth is not None else {}
    more = f"{'gain':>11}{'calls':>7}{'tokens':>9}" if earned else ""
    progress.line(f"{'source':<15}{'trials':>7}{'improvements':>14}{more}", "bold")
    for source, counts in result.sources.items():
        line = f"{source:<15}{counts['trials']:>7}{counts['improvements']:>14}"
        own = earned.get(source)
        progress.line(line if own is None else line + _earned(own))
    counted = {"failed": result.n_failed, "pruned": result.n_pruned, "broke a constraint": result.n_infeasible}
    lost = [f"{n} {word}" for word, n in counted.items() if n]
    if lost:
        progress.line(f"Of the {result.n_trials} trials {' and '.join(lost)}.")


def _tell_front(progress: Progress, result: TuneResult) -> None:
    """Print the trials than which none is better, as many as there is room for."""
    names = list(result.pareto[0]["values"])
    progress.line()
    progress.line(
        f"{'trial':>5}  " + "".join(f"{printable(name):>16}" for name in names) + "   on the Pareto front", "bold"
    )
    step = max(1, -(-len(result.pareto) // _MOST_OF_FRONT))
    for place, point in enumerate(result.pareto):
        chosen = "   * the best compromise, taken" if point["params"] == result.best_params else ""
        if place % step and not chosen:
            continue
        progress.line(f"{point['number']:>5}  " + "".join(f"{number(point['values'][n]):>16}" for n in names) + chosen)
    if step > 1:
        progress.line(f"       ({len(result.pareto)} in all; {RESULT} has them)")


def _earned(source: SourceWorth) -> str:
    gain = f"{source.gain:.3g}" if source.improvements else "-"
    usage = source.usage
    return f"{gain:>11}" + (f"{usage.calls:>7}{usage.tokens:>9}" if usage.calls else "")


def _cost(result: TuneResult) -> str:
    usage = result.usage
    if not usage.calls:
        return result.advisor or "nobody was asked"
    who = result.advisor or "nobody now, and before"
    cost = "price unknown"
    if usage.cost_usd is not None:
        cost = (
            f"{usage.cost_usd:.4f} USD"
            if usage.cost_usd >= 0.001 or not usage.cost_usd
            else f"{usage.cost_usd:.2g} USD"
        )
    most = "at most " if usage.unseen else ""
    return f"{who}: {usage.calls} calls, {most}{usage.tokens} tokens, {cost}, {usage.seconds:.0f} s of waiting"


def tell_next_steps(
    progress: Progress, result: TuneResult, command: Sequence[str], *, folder: Path, n_trials: int, offline: bool
) -> None:
    """Print why the search ended, and what can be done next with the *command* that was given."""
    counted = f"the study has {result.n_trials} trials already, and --trials {n_trials} counts those of earlier runs"
    ends = {
        "trials": counted if result.n_trials > n_trials else f"all {n_trials} trials are done",
        "seconds": "the time is over",
        "patience": "no trial of the last ones brought an improvement",
        "exhausted": "every configuration of the search space was tried",
        "stopped": "a callback stopped it",
        "interrupted": f"interrupted: {result.n_trials} trial{'s' * (result.n_trials != 1)} kept; the same command "
        "goes on",
    }
    progress.fact("Ended", ends[result.stop_reason])
    progress.line("\nTo see what was found, who found it, and whether the reasons hold:", "bold")
    progress.line(f"  {shlex.join(['sllmbo', 'report', str(folder)])}")
    command = [without_password(word) if "://" in word else word for word in command]
    if result.stop_reason == "trials":
        progress.line("\nTo go on with more trials:", "bold")
        progress.line(f"  {shlex.join(with_option(command, '--trials', 2 * max(n_trials, result.n_trials)))}")
    if offline and result.advisor:
        progress.line("\nTo compare with a chat model, in a study of its own:", "bold")
        asking = with_option(command, "--llm", "openai:gpt-5-mini")
        if any(word.partition("=")[0] == "--study" for word in command):
            asking = with_option(asking, "--study", f"{result.study}-llm")
        if any(word.partition("=")[0] == "--out" for word in command):
            asking = with_option(asking, "--out", f"{folder}-llm")
        recording = value_of(command, "--record")
        if recording:
            path = Path(recording)
            asking = with_option(asking, "--record", path.with_name(f"{path.stem}-llm{path.suffix}"))
        progress.line(f"  {shlex.join(asking)}")


def value_of(command: Sequence[str], option: str) -> str:
    """Return what *command* says of *option*; empty if nothing."""
    words = [*command, ""]
    given = (word.partition("=")[2] for word in words if word.startswith(f"{option}="))
    return next(given, words[words.index(option) + 1] if option in words[:-1] else "")


def with_option(command: Sequence[str], option: str, value: object) -> list[str]:
    """Return *command* with *option* set to *value*, in place of what it says of it now."""
    words = [f"{option}={value}" if word.startswith(f"{option}=") else word for word in command]
    if option in words[:-1]:
        words[words.index(option) + 1] = str(value)
    elif f"{option}={value}" not in words:
        words += [option, str(value)]
    return words
