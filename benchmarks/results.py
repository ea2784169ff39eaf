"""
Makes the tables and pictures of docs/results: each is one run of `sllmbo bench`.

    python benchmarks/results.py OUT [NAME ...] [--jobs N]

OUT keeps the finished studies, so that an interrupted run goes on; the pages in docs/results are written over. Recorded
proposals and the paper's data are looked for in the folder SLLMBO_DATA; "rivals" needs the extras smac, cma and gp too.
"""

import argparse
import os
import shutil
import subprocess
import sys
from pathlib import Path

DATA = Path(os.environ.get("SLLMBO_DATA", "."))
OPENINGS = "openings:llm_openings_hpobench.json"
GPT_4O = "paper:sllmbo_paper_trials.csv.gz:gpt-4o"
HOSTILE = ["hostile:worst-region-lover", "hostile:narrower", "hostile:out-of-bounds", "hostile:malformed"]
"""A repeater and one that always raises leave exactly the trials of tpe+default, as tests show."""
WORST = ["hostile:worst-region-lover"]
RIVALS = (
    "random,random+default,tpe,tpe+default,tpe-paper+default,hyperopt,hyperopt+default,cma+default,smac+default,"
    "gp+default,llm-tpe"
)

# name: suite, problems, methods, advisors, seeds, other options
RUNS = {
    "hpobench": ("tables", "hpobench", "tpe+default,llm-tpe", ["rules", OPENINGS, "quality:clone", *HOSTILE], "0-19"),
    "openings-12": (
        *("tables", "hpobench", "tpe+default,tpe+default:repeats,llm-tpe,llm-tpe:repeats"),
        *([OPENINGS], "0-39", "--trials", "12"),
    ),
    "others": ("tables", "fcnet,nas201", "tpe+default,llm-tpe", ["rules", *WORST], "0-19"),
    "rivals": ("tables", "hpobench", RIVALS, ["rules"], "0-3"),
    "noise": ("tables", "hpobench", "llm-tpe,llm-tpe:repeats", ["rules"], "0-39", "--baseline", "llm-tpe"),
    "noise-tpe": ("tables", "hpobench", "tpe+default,tpe+default:repeats", [], "0-39"),
    "failures": (
        *("failures", "", "tpe,tpe+default,llm-tpe,llm-tpe:failures-hidden"),
        *(["rules", "hostile:failing-region-lover", *WORST], "0-9"),
    ),
    "paper-surrogate": ("paper-surrogate", "", "tpe+default,llm-tpe,paper-reference", [GPT_4O], "0-9"),
    "paper-surrogate-rules": ("paper-surrogate", "", "tpe+default,llm-tpe", ["rules", *WORST], "0-9"),
    "paper": (
        *("paper", "concrete_strength,adult_census,energy,bike_sharing,gas_drift-xgboost,cover_type-xgboost"),
        "tpe+default,llm-tpe,gp+default",
        *(["rules"], "0-7", "--trials", "30"),
    ),
    "paper-lightgbm": (
        *("paper", "gas_drift-lightgbm,cover_type-lightgbm", "tpe+default,llm-tpe,gp+default"),
        *(["rules"], "0-7", "--trials", "30"),
    ),
    "modalities": ("modalities", "", "tpe+default,llm-tpe", ["rules", *WORST], "0-4", "--trials", "30"),
    "ablations": (
        *("tables", "hpobench"),
        "tpe+default,llm,llm-tpe,llm-tpe:coin,llm-tpe:no-judging,llm-tpe:init-random,llm-tpe:no-default",
        *(["rules"], "0-9", "--baseline", "llm-tpe"),
    ),
    "ablations-clone": (
        *("tables", "hpobench", "tpe+default,llm-tpe,llm-tpe:coin,llm-tpe:no-judging"),
        *(["quality:clone"], "0-9"),
    ),
}


def run(name: str, out: Path, jobs: int) -> None:
    suite, problems, methods, advisors, seeds, *more = RUNS[name]
    folder = out.resolve() / name
    command = [sys.executable, "-m", "sllmbo", "bench", "--suite", suite, "--methods", methods, "--seeds", seeds]
    command += [*(["--problems", problems] if problems else []), *(f"--advisor={advisor}" for advisor in advisors)]
    command += ["--trials", "50", "--jobs", str(jobs), "--label", "report", "--out", str(folder), *more]
    code = subprocess.run(command, cwd=DATA).returncode
    if code:  # it has said why
        sys.exit(code)
    page = Path(__file__).parent.parent / "docs" / "results" / name
    page.mkdir(parents=True, exist_ok=True)
    for made in ("report.md", "anytime.png", "anytime-problems.png", "ranks.png"):
        if (folder / made).exists():
            shutil.copy(folder / made, page / made)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("names", nargs="*", choices=[*RUNS, []], default=[])
    parser.add_argument("--jobs", type=int, default=1)
    given = parser.parse_args()
    for name in given.names or RUNS:
        run(name, given.out, given.jobs)
