"""
A small convolutional network in PyTorch: epochs that promise nothing are saved, and the advisor is told the curves.
"""

import sys

import numpy as np
import optuna
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

import sllmbo

optuna.logging.set_verbosity(optuna.logging.WARNING)
try:
    import torch
    from torch import nn
except ImportError:
    print("This example needs PyTorch: pip install torch")
    sys.exit()

N_TRIALS, EPOCHS = 16, 8
torch.set_num_threads(1)

X, y = load_digits(return_X_y=True)
images = torch.tensor(X / 16, dtype=torch.float32).reshape(-1, 1, 8, 8)
labels = torch.tensor(y)
rest, test = train_test_split(np.arange(len(y)), test_size=0.25, random_state=0, stratify=y)
train, valid = train_test_split(rest, test_size=1 / 3, random_state=0, stratify=y[rest])

space = sllmbo.SearchSpace(
    {
        "channels": sllmbo.Int(
            4, 32, log=True, default=8, description="of the first convolution; the second has twice"
        ),
        "dropout": sllmbo.Float(0.0, 0.7, default=0.0),
        "batch_size": sllmbo.Int(16, 256, log=True, default=64),
        "learning_rate": sllmbo.Float(1e-4, 0.1, log=True, default=1e-3, description="of Adam"),
        "weight_decay": sllmbo.Float(1e-6, 1e-2, log=True, default=1e-6),
    }
)


def build(channels: int, dropout: float) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, channels, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(channels, 2 * channels, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Dropout(dropout),
        nn.Linear(8 * channels, 10),
    )


def objective(trial: optuna.Trial) -> float:
    lr = trial.suggest_float("learning_rate", 1e-4, 0.1, log=True)
    batch_size = trial.suggest_int("batch_size", 16, 256, log=True)
    weight_decay = trial.suggest_float("weight_decay", 1e-6, 1e-2, log=True)
    torch.manual_seed(0)
    network = build(trial.suggest_int("channels", 4, 32, log=True), trial.suggest_float("dropout", 0.0, 0.7))
    optimizer = torch.optim.Adam(network.parameters(), lr=lr, weight_decay=weight_decay)
    loss = float("nan")
    for epoch in range(1, EPOCHS + 1):
        network.train()
        for batch in torch.randperm(len(train)).split(batch_size):
            chosen = train[batch]
            optimizer.zero_grad()
            nn.functional.cross_entropy(network(images[chosen]), labels[chosen]).backward()
            optimizer.step()
        network.eval()
        with torch.no_grad():
            loss = float(nn.functional.cross_entropy(network(images[valid]), labels[valid]))
        trial.report(loss, epoch)  # the pruner sees it now, and the advisor at the next question
        if trial.should_prune():
            raise optuna.TrialPruned
    trial.set_user_attr("test_accuracy", float((network(images[test]).argmax(1) == labels[test]).float().mean()))
    return loss


task = sllmbo.Task(
    description=f"A network of two convolutions reads digits of 8 x 8 pixels; {EPOCHS} epochs of Adam.",
    metric="cross entropy",
    direction="minimize",
    n_trials=N_TRIALS,
)
study = optuna.create_study(
    direction="minimize",
    sampler=sllmbo.LLMTPESampler(llm="offline", task=task, space=space, seed=0),
    pruner=optuna.pruners.SuccessiveHalvingPruner(min_resource=1, reduction_factor=3),
)
study.optimize(objective, n_trials=N_TRIALS)

for trial in study.trials:
    curve = " ".join(f"{value:.2f}" for value in trial.intermediate_values.values())
    print(trial.number, trial.state.name.lower(), trial.user_attrs["sllmbo:source"], curve)
for name, trial in (("default", study.trials[0]), ("best", study.best_trial)):
    print(
        f"{name}: {trial.value:.3f}, accuracy on other images {trial.user_attrs['test_accuracy']:.3f}, {trial.params}"
    )
epochs = sum(len(trial.intermediate_values) for trial in study.trials)
print(f"{epochs} of {N_TRIALS * EPOCHS} epochs were trained")
