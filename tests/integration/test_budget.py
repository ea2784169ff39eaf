"""
Budgets on calls, tokens and money, shared by threads and processes, are kept to.
"""

from __future__ import annotations

import json
import os
import random
import uuid

import optuna
import pytest

import sllmbo
from sllmbo.advisors.llm import LLMAdvisor
from sllmbo.report._sentences import cost
from sllmbo.samplers._ledger import entries, spent
from sllmbo.testing import chat_server
from sllmbo.testing.chat_server import ChatServer
from sllmbo_process import FORKS

SPACE = sllmbo.SearchSpace({"x": sllmbo.Float(-5, 5, default=0.0), "k": sllmbo.Int(0, 99, default=2)})
PRICE = (1.0, 2.0)  # US dollars per million tokens


def _objective(trial):
    return (trial.suggest_float("x", -5, 5) - 1) ** 2 + trial.suggest_int("k", 0, 99)


def _sampler(base_url, budget, **options):
    options = {"max_tokens": 500, "price": PRICE} | options
    advisor = LLMAdvisor("openai:any", base_url=base_url, timeout=10, **options)
    return sllmbo.LLMSampler(advisor, space=SPACE, seed=0, budget=budget)


def _study(server, budget, *, n_trials=30, n_jobs=1, **options):
    study = optuna.create_study(sampler=_sampler(server.base_url, budget, **options))
    study.optimize(_objective, n_trials=n_trials, n_jobs=n_jobs)
    return study


@pytest.mark.parametrize("n_jobs", [1, 4])
def test_a_budget_of_calls_is_used_and_not_passed(n_jobs) -> None:
    """The server gets exactly as many requests as are allowed, and every later trial says why it was not asked."""
    with ChatServer() as server:
        study = _study(server, sllmbo.Budget(calls=6), n_jobs=n_jobs)
    kinds = [trial.user_attrs.get("sllmbo:fallback", {}).get("kind") for trial in study.trials]

    assert 30 == len(study.trials)
    assert len(server.requests) <= 6
    assert n_jobs > 1 or 6 == len(server.requests)
    assert kinds[-1] == "BudgetExceeded"
    assert {None, "BudgetExceeded"} == set(kinds)


def test_corrections_and_retries_are_calls() -> None:
    """What goes wrong is counted as well: a request is a request."""
    replies = [chat_server.status(500), "prose"] * 50
    with ChatServer(replies) as server:
        _study(server, sllmbo.Budget(calls=5), n_trials=12)

    assert 5 == len(server.requests)


def test_a_budget_of_tokens_is_not_passed() -> None:
    """Tokens as the server counts them stay within the budget, which is used for several questions."""
    with ChatServer() as server:
        study = _study(server, sllmbo.Budget(tokens=8_000))

    assert spent(study).tokens <= 8_000
    assert len(server.requests) >= 3


def test_a_budget_of_money_is_not_passed() -> None:
    """With a known price, the sum of all requests stays within the budget."""
    with ChatServer() as server:
        study = _study(server, sllmbo.Budget(cost_usd=0.008))
    usage = spent(study)

    assert usage.cost_usd is not None
    assert 0 < usage.cost_usd <= 0.008
    assert usage.cost_usd == pytest.approx((usage.input_tokens * PRICE[0] + usage.output_tokens * PRICE[1]) / 1e6)


def test_without_a_known_price_no_money_is_spent() -> None:
    """A budget in US dollars that cannot be kept lets nothing be asked, and says so."""
    with ChatServer() as server:
        study = _study(server, sllmbo.Budget(cost_usd=1.0), n_trials=8, price=None)

    assert [] == server.requests
    assert "price is unknown" in study.trials[-1].user_attrs["sllmbo:fallback"]["reason"]


def test_the_ledger_has_every_request() -> None:
    """Purpose, turn, chat model and cost of each request are kept with the study."""
    with ChatServer() as server:
        study = _study(server, None, n_trials=8)
    kept = entries(study)

    assert len(server.requests) == len(kept)
    assert {"opening", "next"} == {entry["purpose"] for entry in kept}
    assert {"scripted-1"} == {entry["chat_model"] for entry in kept}
    assert all(entry["usage"]["calls"] == 1 for entry in kept)


def test_a_request_whose_answer_was_not_seen_counts_at_its_bound() -> None:
    """A reply that never ended may be charged; the budget takes the worst."""
    with ChatServer([chat_server.silence()]) as server:
        advisor = LLMAdvisor("openai:any", base_url=server.base_url, timeout=0.3, max_tokens=500)
        sampler = sllmbo.LLMSampler(advisor, space=SPACE, seed=0, budget=sllmbo.Budget(tokens=4_000))
        study = optuna.create_study(sampler=sampler)
        study.optimize(_objective, n_trials=12)

    usage = spent(study)
    assert 500 <= usage.tokens <= 4_000
    assert 0 < usage.calls == usage.unseen  # so that it is told as what it may have cost at most
    assert usage.seconds > 0.2 * usage.calls
    assert f"tokens in and {usage.output_tokens} out, at an unknown price at most" in cost(usage)


@pytest.mark.parametrize(
    ("failure", "is_billed"),
    [(chat_server.dropped(), True), (chat_server.reset(), True), (chat_server.status(500), False), (None, False)],
)
def test_what_a_failed_request_counts(failure, is_billed) -> None:
    """A connection that was lost after sending counts at its bound; an error of the server or a refusal nothing."""
    with ChatServer([failure or {}]) as server:
        base_url = server.base_url
        if failure is None:
            server.__exit__(None, None, None)  # its port is closed from here on
        advisor = LLMAdvisor("openai:any", base_url=base_url, timeout=0.3, max_tokens=500, price=PRICE)
        sampler = sllmbo.LLMSampler(advisor, space=SPACE, seed=0, budget=sllmbo.Budget(calls=3))
        study = optuna.create_study(sampler=sampler)
        study.optimize(_objective, n_trials=3)

    assert entries(study)
    assert all(is_billed == (entry["usage"]["output_tokens"] >= 500) for entry in entries(study))
    assert is_billed == (spent(study).cost_usd > 0)


@pytest.mark.parametrize(("limit", "most"), [("tokens", 8_000), ("cost_usd", 0.008)])
def test_requests_whose_tokens_are_not_told_count_at_their_bound(limit, most) -> None:
    """A budget is kept where a server tells no usage, and what is told of the price is that it is unknown."""

    rng = random.Random(0)

    def reply(request):
        body = json.loads(chat_server.answer_from_schema(request, rng).written_for(request))
        del body["usage"]
        return chat_server.Reply(json.dumps(body))

    with ChatServer(reply) as server:
        study = _study(server, sllmbo.Budget(**{limit: most}))
    usage = spent(study)

    told = [trial.user_attrs["sllmbo:usage"] for trial in study.trials if "sllmbo:usage" in trial.user_attrs]

    assert 2 <= len(server.requests) <= 6
    assert 500 * usage.calls <= usage.tokens
    assert 0 < {"tokens": usage.tokens, "cost_usd": usage.cost_usd}[limit] <= most
    assert {(0, None)} == {(usage["input_tokens"], usage["cost_usd"]) for usage in told}


@pytest.mark.parametrize("budget", [None, sllmbo.Budget(tokens=100_000)])
def test_the_token_limit_stays_where_a_budget_needs_it(budget) -> None:
    """A server that rejects the token limit is asked without one only where no budget is in force."""

    def reply(request):
        return chat_server.status(400, "unknown field max_tokens") if "max_tokens" in request.body else {"sum": 5}

    with ChatServer(reply) as server:
        study = _study(server, budget, n_trials=8)
        unlimited = [request for request in server.requests if "max_tokens" not in request.body]

    assert (budget is None) == bool(unlimited)
    if budget is not None:
        assert "max_tokens" in study.trials[1].user_attrs["sllmbo:fallback"]["reason"]


def _work(url, name, base_url, budget):
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.load_study(study_name=name, storage=url, sampler=_sampler(base_url, budget))
    study.optimize(_objective, n_trials=12)


def _storage(kind, tmp_path):
    if kind == "sqlite":
        return f"sqlite:///{tmp_path}/study.db"
    url = os.environ.get("SLLMBO_TEST_POSTGRESQL")
    if url is None:
        pytest.skip("SLLMBO_TEST_POSTGRESQL names no server; .ci/run starts one")
    return url


@pytest.mark.parametrize("kind", ["sqlite", pytest.param("postgresql", marks=pytest.mark.server)])
@pytest.mark.parametrize(("limit", "most"), [("calls", 10), ("tokens", 20_000), ("cost_usd", 0.01)])
def test_processes_share_a_budget(kind, limit, most, tmp_path) -> None:
    """Four processes on one storage together stay within the budget, and use it."""
    url, name = _storage(kind, tmp_path), f"budget-{uuid.uuid4()}"
    storage = optuna.storages.RDBStorage(url)
    study = optuna.create_study(study_name=name, storage=storage)
    rng = random.Random(0)
    with ChatServer(lambda request: chat_server.answer_from_schema(request, rng)) as server:
        about = (url, name, server.base_url, sllmbo.Budget(**{limit: most}))
        workers = [FORKS.Process(target=_work, args=about, daemon=True) for _ in range(4)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
    usage = spent(study)
    optuna.delete_study(study_name=name, storage=storage)
    storage.remove_session()
    storage.engine.dispose()

    assert [0] * 4 == [worker.exitcode for worker in workers]
    assert len(server.requests) <= usage.calls
    assert {"calls": usage.calls, "tokens": usage.tokens, "cost_usd": usage.cost_usd}[limit] <= most
    assert len(server.requests) >= 3
