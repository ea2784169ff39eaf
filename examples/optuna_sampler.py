"""
From Optuna: swap the sampler, keep the study. The space is declared, so that the advisor acts from the first trial on.
"""

import optuna
from sklearn.datasets import load_wine
from sklearn.model_selection import cross_val_score
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import sllmbo

X, y = load_wine(return_X_y=True)

space = sllmbo.SearchSpace(
    {
        "n_neighbors": sllmbo.Int(1, 50, log=True, default=5, description="how many neighbours vote"),
        "weights": sllmbo.Categorical(["uniform", "distance"], default="uniform"),
        "p": sllmbo.Float(1.0, 3.0, default=2.0, description="power of the Minkowski metric"),
    }
)


def objective(trial: optuna.Trial) -> float:
    estimator = KNeighborsClassifier(
        n_neighbors=trial.suggest_int("n_neighbors", 1, 50, log=True),
        weights=trial.suggest_categorical("weights", ["uniform", "distance"]),
        p=trial.suggest_float("p", 1.0, 3.0),
    )
    return float(cross_val_score(make_pipeline(StandardScaler(), estimator), X, y, cv=5).mean())


sampler = sllmbo.LLMTPESampler(llm="offline", task="k-nearest neighbours on wine, accuracy", space=space, seed=0)
study = optuna.create_study(direction="maximize", sampler=sampler)
study.optimize(objective, n_trials=15)

for trial in study.trials:
    print(trial.number, trial.value, trial.user_attrs["sllmbo:source"], trial.user_attrs.get("sllmbo:rationale", ""))
print("default", study.trials[0].value, "best", study.best_value, study.best_params)
