"""
Ask and tell: the evaluation is yours, here a formula, elsewhere a cluster job or a laboratory.
"""

import sllmbo

space = sllmbo.SearchSpace(
    {
        "temperature": sllmbo.Float(20.0, 120.0, default=60.0, description="degrees Celsius"),
        "minutes": sllmbo.Int(5, 90, default=30),
        "solvent": sllmbo.Categorical(["water", "ethanol"], default="water"),
    }
)


def yield_of(temperature: float, minutes: int, solvent: str) -> float:
    if solvent == "ethanol" and temperature > 78:
        raise RuntimeError("the solvent boils")
    return 100 - 0.02 * (temperature - 70) ** 2 - 0.05 * (minutes - 45) ** 2 + (10 if solvent == "ethanol" else 0)


task = sllmbo.Task(description="Yield of a reaction in percent", metric="yield", direction="maximize")
tuner = sllmbo.Tuner(space, task=task, llm="offline", seed=0)
for _ in range(25):
    trial = tuner.ask()
    try:
        tuner.tell(trial, yield_of(**trial.params))
    except RuntimeError as error:
        tuner.tell(trial, failure=error)  # told to the advisor with its reason; never a number in the densities

print(tuner.study.best_value, tuner.study.best_params)
