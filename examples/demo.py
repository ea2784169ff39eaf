"""
`sllmbo tune` from end to end, on data that scikit-learn brings along: no key, no network, less than a minute.

    python examples/demo.py

Each run starts afresh and gives the same trials.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from sklearn.datasets import load_diabetes

FOLDER = Path("sllmbo-out/demo")


def main() -> int:
    """Write the data, tune, and say what to try next."""
    if FOLDER.exists():
        print(f"{FOLDER} is there from an earlier run; starting afresh.")
        shutil.rmtree(FOLDER)
    FOLDER.mkdir(parents=True)
    data = FOLDER / "diabetes.csv"
    load_diabetes(as_frame=True, scaled=False).frame.to_csv(data, index=False)

    command = ["tune", str(data), "--target", "target", "--metric", "mae", "--trials", "30", "--out", str(FOLDER)]
    command += ["--llm", "offline", "--study", "demo"]
    print(f"$ sllmbo {' '.join(command)}\n", flush=True)
    code = subprocess.run([sys.executable, "-m", "sllmbo", *command], check=False).returncode
    if code != 0:
        return code

    print(
        f"""
The results lie in {FOLDER}: trials.csv has every trial with its reason, estimator.joblib the fitted LightGBM.

What to try next:
  your own data       sllmbo tune data.csv --target COLUMN
  a chat model        the same with --llm openai:gpt-5-mini (and OPENAI_API_KEY in the environment),
                      or --llm openai:NAME --base-url http://localhost:8000/v1 for a server of your own
  other estimators    sllmbo tune --list
  a dashboard         optuna-dashboard sqlite:///{FOLDER}/study.db"""
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
