"""
What stands between a chat model and a study, measured on loopback: nobody here is a chat model, replies are scripted.

    python benchmarks/advice.py [modes | faults | tokens | replay | budgets | spaces]

Prints Markdown tables. PostgreSQL is measured where SLLMBO_TEST_POSTGRESQL holds the URL of a server.
"""

import json
import logging
import os
import platform
import random
import subprocess
import sys
import tempfile
import time
import uuid
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import optuna

import sllmbo
from sllmbo import prompts
from sllmbo.advisors import Memo
from sllmbo.advisors.knowledge import find_estimator, known_estimators
from sllmbo.advisors.llm import LLMAdvisor, memory_of
from sllmbo.advisors.replay import ELSEWHERE, RecordingAdvisor, ReplayAdvisor
from sllmbo.advisors.rules import RuleAdvisor
from sllmbo.history import History, Observation
from sllmbo.llm import Gateway
from sllmbo.samplers import Bernoulli
from sllmbo.samplers._ledger import spent
from sllmbo.task import DataFacts, Task
from sllmbo.testing import chat_server
from sllmbo.testing.chat_server import FAULTS, ChatRequest, ChatServer

SPACE = sllmbo.SearchSpace(
    {
        "x": sllmbo.Float(0.01, 100, log=True, default=1.0),
        "k": sllmbo.Int(0, 99, default=20),
        "kind": sllmbo.Categorical(["plain", "steep"], default="plain"),
    }
)
LIGHTGBM = sllmbo.SearchSpace(
    {
        **find_estimator("lightgbm").space("classification"),
        "reg_alpha": sllmbo.Float(0, 10, default=0.0, description="L1 penalty on the values of leaves"),
        "min_split_gain": sllmbo.Float(0, 1, default=0.0, description="what a split must gain at least"),
    }
)
METHODS: dict[str, dict[str, Any]] = {
    "llm-tpe, init llm": {"init": "llm"},
    "llm-tpe, init random": {"init": "random"},
    "llm, summary": {"sampler": sllmbo.LLMSampler, "memory": "summary"},
    "llm, chat": {"sampler": sllmbo.LLMSampler, "memory": "chat"},
}


def objective(trial: optuna.Trial) -> float:
    x, k = trial.suggest_float("x", 0.01, 100, log=True), trial.suggest_int("k", 0, 99)
    steep = trial.suggest_categorical("kind", ["plain", "steep"]) == "steep"
    return (np.log10(x) - 0.5) ** 2 * (2 if steep else 1) + abs(k - 30) / 100


def bowl(trial: optuna.Trial) -> float:
    """A closed form over LightGBM's space: the squared distance from a point, on unit scales."""
    suggest = {"Float": trial.suggest_float, "Int": trial.suggest_int}
    total = 0.0
    for name, p in LIGHTGBM.items():
        if isinstance(p, sllmbo.Categorical):
            total += trial.suggest_categorical(name, p.choices) != p.choices[0]
        else:
            about = {"log": p.log} if p.log else {"step": p.step}
            total += (p.to_unit(suggest[type(p).__name__](name, p.low, p.high, **about)) - 0.3) ** 2
    return total


def advised(base_url: str, memory: Any = "digest", **about: Any) -> LLMAdvisor:
    llm = about.pop("llm", "openai:scripted")
    return LLMAdvisor(llm, base_url=base_url, memory=memory, **{"timeout": 20.0, **about})


def run(
    advisor: Any, n_trials: int, *, sampler: Any = sllmbo.LLMTPESampler, n_jobs: int = 1, **about: Any
) -> optuna.Study:
    objective_ = about.pop("objective", objective)
    about = {"space": SPACE, "task": "a bowl", "seed": 0, **about}
    study = optuna.create_study(sampler=sampler(advisor, **about))
    study.optimize(objective_, n_trials=n_trials, n_jobs=n_jobs)
    return study


def told(study: optuna.Study, key: str) -> list[Any]:
    """Return the attribute of the trials that have it."""
    return [t.user_attrs[f"sllmbo:{key}"] for t in study.trials if f"sllmbo:{key}" in t.user_attrs]


def trials_of(study: optuna.Study) -> list[Any]:
    return [(t.params, t.value, t.user_attrs["sllmbo:source"]) for t in study.trials]


def table(columns: str, rows: Iterable[Iterable[Any]]) -> None:
    names = columns.split(" | ")
    print(f"| {columns} |\n|{'---|' * len(names)}")
    for row in rows:
        print(f"| {' | '.join(str(cell) for cell in row)} |", flush=True)
    print()


def candidates(number: int) -> dict[str, Any]:
    """Return the answer to a request that does not depend on how it was written: each wire changes the schema."""
    if number % 5 == 0:
        return {"colour": "blue"}
    rng = np.random.default_rng(number)
    drawn = [SPACE.sample(rng) | ({"x": 1e6} if number % 3 == 0 else {}) for _ in range(5)]
    return {"candidates": [{"intent": "explore", "rationale": "drawn", "params": params} for params in drawn]}


def modes() -> None:
    """(a) The same study in every wire format and reply mode"""
    print("12 trials; of the replies every third has a number out of range and every fifth is of another schema.\n")
    clients = {
        "openai:scripted": ("OpenAI chat", "openai"),
        "openai-responses:scripted": ("OpenAI responses", "openai"),
        "anthropic:claude-haiku-4-5": ("Anthropic", "anthropic"),
        "google:gemini-2.5-flash": ("Google", "google-genai"),
    }

    def rows() -> Iterator[tuple[Any, ...]]:
        first = None
        for llm, (wire, package) in clients.items():
            for mode in ("tool", "native", "prompted"):
                with ChatServer(lambda _: candidates(len(server.requests))) as server:
                    study = run(advised(server.base_url, llm=llm, reply_mode=mode), 12)
                first = first or trials_of(study)
                asked = Counter(request.reply_mode for request in server.requests)
                corrections = sum("That reply cannot be used" in request.text for request in server.requests)
                same = "yes" if first == trials_of(study) else "NO"
                repaired = sum(map(len, told(study, "repairs")))
                sdk = f"{package} {metadata.version(package)}"
                yield wire, sdk, mode, same, asked[mode], asked.total() - asked[mode], corrections, repaired

    table(
        "wire format | client | mode | trials identical | calls | in another mode | corrections | values repaired",
        rows(),
    )


@contextmanager
def overruns() -> Iterator[list[float]]:
    """Collect by how many seconds each question passed its deadline."""
    ask, seconds = Gateway.ask, [0.0]

    def timed(self: Gateway, **question: Any) -> Any:
        start = time.monotonic()
        try:
            return ask(self, **question)
        finally:
            seconds.append(time.monotonic() - start - self.timeout)

    Gateway.ask = timed
    try:
        yield seconds
    finally:
        Gateway.ask = ask


def faults() -> None:
    """(b) Each fault of the chat server in each method"""
    print("12 trials each; a question may take 0.5 s. The fault holds from the first question to the last.\n")

    def rows() -> Iterator[tuple[Any, ...]]:
        for fault in FAULTS:
            for method, about in METHODS.items():
                about = dict(about)
                with ChatServer() as server, overruns() as late:
                    server.fault = fault
                    advisor = advised(server.base_url, about.pop("memory", "digest"), timeout=0.5, condense_every=5)
                    study = run(advisor, 12, **about)
                done = [t for t in study.trials if t.state == optuna.trial.TrialState.COMPLETE]
                invalid = sum(not SPACE.contains(t.params) for t in study.trials)
                repaired, fallbacks = sum(map(len, told(study, "repairs"))), told(study, "fallback")
                advice = told(study, "source").count("llm")
                calls = len(server.requests)
                beyond = f"{max(late):.2f}"
                yield fault, method, len(done), advice, calls, repaired, len(fallbacks), invalid, 12 - len(done), beyond

    table(
        "fault | method | trials done | advised | calls | values repaired | fallbacks | invalid evaluations | "
        "lost trials | seconds beyond the deadline",
        rows(),
    )


def tokens() -> None:
    """(c) Tokens"""
    count, vocabulary = counter()
    task = Task(
        description="Predict whether income exceeds 50K from census data",
        estimator="lightgbm",
        metric="f1_weighted",
        data=DataFacts(kind="classification", n_rows=26048, n_features=14, n_numeric=6, n_categorical=8, n_classes=2),
    )
    print(f"Counted with {vocabulary}, for LightGBM's {len(LIGHTGBM)} parameters.\n")
    print("One question for the next trial; half of the trials are advised. The schema of the reply is apart.\n")
    schema = count(json.dumps(prompts.suggestions_schema(LIGHTGBM, 3)))

    def question(memory: Any, n: int) -> int:
        rng = np.random.default_rng(0)
        trials = [
            Observation(
                i,
                LIGHTGBM.sample(rng),
                state="complete",
                value=float(rng.normal(0.8, 0.05)),
                source="llm" if i % 2 else "tpe",
                rationale="A smaller learning rate with more trees helped in #3." if i % 2 else "",
                details={"std": 0.01, "train_value": 0.9},
            )
            for i in range(n)
        ]
        memo = Memo(text="A learning rate near 0.05 with many trees is best; few leaves fail. " * 10, after=n - 5)
        prompt = prompts.render_suggestions(
            task, LIGHTGBM, History("maximize", tuple(trials)), n=3, purpose="next", memory=memory_of(memory, memo, {})
        )
        return count(prompt.instructions) + count(prompt.text) + sum(count(said) for _, said in prompt.conversation)

    table(
        "memory | 10 trials | 100 trials | 1,000 trials | schema",
        ([name, *(question(name, n) for n in (10, 100, 1000)), schema] for name in ("digest", "summary", "chat")),
    )
    print("A whole study of 50 trials over a closed form, with random valid advice. The reference code makes 93 calls")
    print("(XGBoost) or 144 (LightGBM) with LLM-TPE, and 51 and 5 summaries with the LLM alone.\n")
    coin = {"mixing": Bernoulli(0.5)}
    studies = {
        "LLM-TPE, init llm, fair coin": METHODS["llm-tpe, init llm"] | coin,
        "LLM-TPE, init random, fair coin": METHODS["llm-tpe, init random"] | coin,
        "LLM with summaries": METHODS["llm, summary"],
        "LLM with the whole chat": METHODS["llm, chat"],
        "llm-tpe as it is by default": {},
    }

    def rows() -> Iterator[tuple[Any, ...]]:
        for name, about in studies.items():
            about, replies = dict(about), Replies()
            with ChatServer(replies) as server:
                advisor = advised(server.base_url, about.pop("memory", "digest"))
                study = run(advisor, 50, objective=bowl, task=task, space=LIGHTGBM, **about)
            text = sum(count(request.text) for request in server.requests)
            schemas = sum(count(json.dumps(request.schema)) for request in server.requests)
            condensed = sum("summary" in request.schema["properties"] for request in server.requests)
            served = told(study, "source").count("llm")
            yield name, len(server.requests), condensed, served, text, schemas, sum(map(count, replies.said))

    table("method | calls | of them to condense | trials served | input tokens | schema tokens | reply tokens", rows())


class Replies:
    """Answers at random, and keeps what was said."""

    def __init__(self, **about: Any) -> None:
        self.said: list[str] = []
        self.about = about

    def __call__(self, request: ChatRequest) -> chat_server.Reply:
        reply = chat_server.answer_from_schema(request, random.Random(len(self.said)))
        assert reply.message is not None
        assert reply.message.arguments is not None
        self.said.append(reply.message.arguments)
        return chat_server.tool_call(reply.message.arguments, **self.about)


def counter() -> tuple[Callable[[str], int], str]:
    try:
        import quicktok
    except ImportError:
        from sllmbo.prompts.words import tokens

        return tokens, "sllmbo's estimate (quicktok-v1 is not installed)"
    encoding = quicktok.get_encoding("o200k_base")
    return lambda text: len(encoding.encode(text)), "the vocabulary o200k_base"


def replay() -> None:
    """(d) Record, then replay"""
    print(
        "20 trials. With four threads the replay is lenient, by turn; who serves is then a fair coin, and what it gives"
    )
    print(
        "is not judged, nor is the space edited, as all that depends on the order in which trials end. Advice given to "
        "another question is marked.\n"
    )

    def rows() -> Iterator[tuple[Any, ...]]:
        for method, about in METHODS.items():
            for n_jobs in (1, 4):
                about = dict(about)
                memory = about.pop("memory", "digest")
                if n_jobs > 1:
                    about["fixed_space"] = True
                    if "sampler" not in about:
                        about |= {"mixing": Bernoulli(0.5), "judging": False}
                with tempfile.TemporaryDirectory() as folder:
                    path = Path(folder) / "recording.jsonl"
                    with ChatServer() as server:
                        recorder = RecordingAdvisor(advised(server.base_url, memory), path)
                        then = run(recorder, 20, n_jobs=n_jobs, **about)
                    now = run(ReplayAdvisor(path, lenient=n_jobs > 1), 20, n_jobs=n_jobs, **about)
                same = "yes" if trials_of(then) == trials_of(now) else "no"
                advice = [by_turn(study) for study in (then, now)]
                alike = sum(advice[0][turn] == advice[1].get(turn) for turn in advice[0])
                marked = sum(origin.endswith(ELSEWHERE) for origin in told(now, "origin"))
                yield method, n_jobs, len(server.requests), same, f"{alike} of {len(advice[0])}", marked

    table("method | threads | calls | trials identical | advice identical by turn | marked", rows())


def by_turn(study: optuna.Study) -> dict[int, Any]:
    return {
        t.system_attrs["sllmbo:turn"]["turn"]: t.user_attrs["sllmbo:params"]
        for t in study.trials
        if t.user_attrs["sllmbo:source"] == "llm"
    }


def budgets() -> None:
    """(e) Budgets shared by four processes"""
    print(
        "Four processes with 12 trials each on one storage; a request has 1,000 tokens and a reply of a quarter of its"
    )
    print("characters, for 1 and 2 US dollars per million tokens.\n")
    folder = tempfile.TemporaryDirectory()
    urls = {"SQLite": f"sqlite:///{folder.name}/study.db", "PostgreSQL": os.environ.get("SLLMBO_TEST_POSTGRESQL")}

    def rows() -> Iterator[tuple[Any, ...]]:
        for kind, url in urls.items():
            for limit, most in {"calls": 10, "tokens": 20_000, "cost_usd": 0.01}.items():
                if url is None:
                    yield kind, limit, most, "skipped: SLLMBO_TEST_POSTGRESQL names no server", "", "", "", ""
                    continue
                storage, name = optuna.storages.RDBStorage(url), f"budget-{uuid.uuid4()}"
                study = optuna.create_study(study_name=name, storage=storage)
                with ChatServer(Replies(input_tokens=1000)) as server:
                    command = [sys.executable, __file__, "worker", url, name, limit, str(most), server.base_url]
                    workers = [subprocess.Popen(command) for _ in range(4)]
                    codes = [worker.wait(timeout=240) for worker in workers]
                usage, finished = spent(study), sum(t.state.is_finished() for t in study.trials)
                spending = {"calls": usage.calls, "tokens": usage.tokens, "cost_usd": usage.cost_usd or 0.0}
                kept = "yes" if spending[limit] <= most and codes == [0] * 4 else "NO"
                shown = round(spending[limit], 6)
                yield kind, limit, most, shown, kept, len(server.requests), finished, told(study, "source").count("llm")
                optuna.delete_study(study_name=name, storage=storage)
                storage.remove_session()
                storage.engine.dispose()

    table("storage | limit | allowed | spent | kept | requests at the server | trials | of them advised", rows())
    folder.cleanup()


def worker(url: str, name: str, limit: str, most: str, base_url: str) -> None:
    budget = sllmbo.Budget(**{limit: float(most) if limit == "cost_usd" else int(most)})
    advisor = advised(base_url, max_tokens=500, price=(1.0, 2.0))
    sampler = sllmbo.LLMSampler(advisor, space=SPACE, seed=0, budget=budget)
    optuna.load_study(study_name=name, storage=url, sampler=sampler).optimize(objective, n_trials=12)


def spaces() -> None:
    """(f) Search spaces"""
    print("From the documented rules (no chat model):\n")

    def designed() -> Iterator[tuple[Any, ...]]:
        for known in known_estimators():
            kind = known.kinds[0]
            facts = DataFacts(kind=kind, n_rows=5000, n_features=20, n_numeric=20, n_classes=2)
            design = RuleAdvisor().design_space(Task(estimator=known.name, data=facts))
            yield known.name, kind, len(design.space), in_short(design.space)

    table("estimator | kind | parameters | ranges", designed())
    print("From a scripted chat model that designs for LightGBM and errs, alone and beside a sound parameter:\n")
    defaults = {"learning_rate": 0.1, "num_leaves": 31, "min_child_samples": 20, "reg_lambda": 0.0}
    task = Task(description="census income", estimator="lightgbm", estimator_params=defaults)
    rate = {"name": "learning_rate", "type": "float", "low": 0.01, "high": 0.3, "log": True}
    leaves = {"name": "num_leaves", "type": "int", "low": 8, "high": 128, "log": True}
    mistakes = {
        "a wrong name": {**leaves, "name": "num_leafs"},
        "an inverted range": {**leaves, "low": 128, "high": 8},
        "an absurd range": {**leaves, "low": 8, "high": 1e30},
    }

    def corrected() -> Iterator[tuple[Any, ...]]:
        for mistake, wrong in mistakes.items():
            for where, parameters in {"alone": [wrong], "beside a sound one": [rate, wrong]}.items():
                with ChatServer([{"parameters": parameters}, {"parameters": [rate, leaves]}]) as server:
                    design = advised(server.base_url).design_space(task)
                _, _, back = server.requests[-1].text.partition("That reply cannot be used. ")
                sent = back.partition("\n")[0] or "nothing: the rest is used"
                yield mistake, where, len(server.requests), in_short(design.space), sent, design.rationale or "nothing"

    table("mistake | where | calls | the space that came of it | sent back | noted in the design", corrected())


def in_short(space: sllmbo.SearchSpace) -> str:
    def one(name: str, p: Any) -> str:
        if isinstance(p, sllmbo.Categorical):
            return f"{name} {{{', '.join(map(str, p.choices))}}}"
        return f"{name} {p.low:g}..{p.high:g}{' log' if p.log else ''}"

    return "; ".join(one(name, p) for name, p in space.items())


SECTIONS = (modes, faults, tokens, replay, budgets, spaces)


def main(section: str = "") -> None:
    wanted = [function for function in SECTIONS if section in ("", function.__name__)]
    if not wanted:
        sys.exit(f"There is no section {section!r}: name one of {', '.join(f.__name__ for f in SECTIONS)}, or none.")
    packages = ("sllmbo", "optuna", "pydantic-ai-slim", "openai", "anthropic", "google-genai")
    versions = ", ".join(f"{name} {metadata.version(name)}" for name in packages)
    print(f"Python {platform.python_version()}, {versions}; {time.strftime('%Y-%m-%d')}\n")
    for function in wanted:
        start = time.monotonic()
        print(f"## {function.__doc__}\n")
        function()
        print(f"({time.monotonic() - start:.0f} s)\n", flush=True)


if __name__ == "__main__":
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    logging.getLogger("sllmbo").setLevel(logging.ERROR)  # fallbacks are counted here
    warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
    worker(*sys.argv[2:]) if sys.argv[1:2] == ["worker"] else main(*sys.argv[1:])
