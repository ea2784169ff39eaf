"""
`sllmbo prompt`: exactly what a chat model would be sent, with its size and price. Nothing is sent.
"""

from __future__ import annotations

import inspect
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias

import typer

from sllmbo.cli import arguments
from sllmbo.cli.options import default_study_name, read_dataset, read_space, slug
from sllmbo.errors import ConfigError, SllmboError, StudyError

if TYPE_CHECKING:
    from optuna.study import Study

    from sllmbo.prompts import MemoryName, Privacy, Prompt
    from sllmbo.space import SearchSpace
    from sllmbo.task import Task

HELP = (
    "Show exactly what a chat model would be sent, with its size and price; nothing is sent, and no key is needed.\n\n"
    "Without --study and --storage it is the first question of a new study. With --memory summary a chat model "
    "is now and then also asked to condense the trials; that question is not shown. Exit code: 0, or 2 for a mistake "
    "in what was asked for."
)

_BEFORE_THE_OPENING = {"default", "tuned-default", "transfer"}
"""Sources of the trials that are run before anybody is asked."""

_SCHEMA_HEAD = "=== JSON Schema of the reply ==="

Purpose: TypeAlias = Literal["design", "opening", "next"]


@dataclass(frozen=True, slots=True)
class Question:
    """What would be sent, and what it would cost."""

    purpose: Purpose
    chat_model: str | None
    reply_mode: str
    """"prompted": the schema is sent in the text; otherwise beside it, by what suits the chat model with "auto"."""
    privacy: str
    mask_names: bool
    version: str
    instructions: str
    conversation: tuple[tuple[str, str], ...]
    """What was said before, between instructions and text: with --memory chat."""
    text: str
    schema: dict[str, Any]
    """JSON Schema of the reply, sent with the words."""
    input_tokens: int
    """An estimate: of words and schema."""
    input_cost_usd: float | None
    """Of the first chat model named; None where the price is not known."""

    def to_json(self) -> dict[str, Any]:
        """Return the question as a JSON object."""
        return {name: getattr(self, name) for name in self.__slots__}


def prompt(
    data: arguments.Data,
    target: arguments.Target,
    kind: arguments.Kind = None,
    drop: arguments.Drop = None,
    time_column: arguments.TimeColumn = None,
    group: arguments.Group = None,
    holdout: arguments.Holdout = 0.2,
    max_rows: arguments.MaxRows = None,
    estimator: arguments.Estimator = "lightgbm",
    metric: arguments.Metric = None,
    direction: arguments.Direction = None,
    preprocessing: arguments.Preprocessing = False,
    trials: arguments.Trials = 50,
    method: arguments.Method = "llm-tpe",
    space: arguments.Space = None,
    fixed_space: arguments.FixedSpace = False,
    seed: arguments.Seed = 0,
    llm: arguments.Llm = "offline",
    base_url: arguments.BaseUrl = None,
    reply_mode: arguments.ReplyMode = "auto",
    description: arguments.Description = "",
    privacy: arguments.Privacy = "description",
    mask_names: arguments.MaskNames = False,
    memory: arguments.Memory = "digest",
    purpose: Annotated[
        Purpose | None,
        typer.Option(
            help="design asks for a search space, opening for the first configurations, next for what to try now; "
            "what comes next if left out.",
            rich_help_panel=arguments.ADVICE,
        ),
    ] = None,
    study: arguments.Study = None,
    storage: arguments.Storage = None,
    as_json: arguments.AsJson = False,
) -> int:
    """Do what `HELP` says."""
    import optuna

    from sllmbo.tuner.plan import make_plan

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        sys.path.append(str(Path.cwd()))  # where the class of --estimator may lie
        dataset = read_dataset(data, target, kind=kind, time_column=time_column, group=group, drop=drop)
        plan = make_plan(
            estimator,
            dataset,
            metric=metric,
            n_trials=trials,
            holdout_share=holdout,
            max_rows=max_rows,
            direction=direction,
            preprocessing=preprocessing,
            seed=seed,
            description=description,
        )
        stored = None
        if study is not None or storage is not None:
            stored = _stored(study or default_study_name(data, estimator, method, llm, seed, memory), storage)
        given = read_space(space) or _space_of(stored)
        purpose = purpose or _next_purpose(given, stored, mask_names=mask_names)
        rendered, schema = _render(
            plan.task,
            given or _documented(plan.task, plan.spec),
            stored,
            purpose=purpose,
            privacy=privacy,
            mask_names=mask_names,
            memory=memory,
            fixed_space=fixed_space,
        )
        question = _question(
            rendered,
            schema,
            purpose,
            llm,
            base_url,
            reply_mode=reply_mode,
            privacy=privacy,
            mask_names=mask_names,
        )
    except SllmboError as error:
        print(error, file=sys.stderr)
        return 2
    print(json.dumps(question.to_json()) if as_json else _in_words(question))
    return 0


def _stored(name: str, storage: str | None) -> Study:
    """Return a study, without making a database where there is none."""
    from optuna import load_study

    from sllmbo.tuner.storage import open_storage, without_password

    url = storage or f"sqlite:///{Path('sllmbo-out') / slug(name) / 'study.db'}"
    missing = StudyError(f"There is no study {name!r} in {without_password(url)!r}; check --study and --storage.")
    if url.startswith("sqlite:///") and not Path(url.removeprefix("sqlite:///").partition("?")[0]).exists():
        raise missing
    opened = open_storage(url)
    assert opened is not None
    try:
        return load_study(study_name=name, storage=opened)
    except KeyError:
        raise missing from None


def _space_of(stored: Study | None) -> SearchSpace | None:
    from sllmbo.space import SearchSpace
    from sllmbo.tuner.storage import SPACE

    known = stored.user_attrs.get(SPACE) if stored is not None else None
    return SearchSpace.from_json(known["space"]) if known else None


def _documented(task: Task, spec: Any) -> SearchSpace:
    from sllmbo.tuner.derive import derive_space
    from sllmbo.tuner.tuner import Tuner

    return Tuner(task=task, llm="offline", derive=lambda: derive_space(spec), adapt=spec.adapted).space


def _next_purpose(space: SearchSpace | None, stored: Study | None, *, mask_names: bool) -> Purpose:
    from sllmbo.samplers import study_history

    sources = {o.source for o in study_history(stored)} if stored is not None else set()
    if sources - _BEFORE_THE_OPENING:
        return "next"
    return "opening" if space is not None or mask_names else "design"


def _render(
    task: Task,
    space: SearchSpace,
    stored: Study | None,
    *,
    purpose: Purpose,
    privacy: Privacy,
    mask_names: bool,
    memory: MemoryName,
    fixed_space: bool,
) -> tuple[Prompt, dict[str, Any]]:
    from sllmbo import prompts
    from sllmbo.advisors.knowledge.shortlist import most_estimators
    from sllmbo.advisors.llm import documented_space, memory_of
    from sllmbo.history import History
    from sllmbo.samplers import AdvisedSampler, study_history
    from sllmbo.samplers._edits import box_of, open_leeways
    from sllmbo.samplers._importance import importance
    from sllmbo.samplers._reader import memo_of
    from sllmbo.space import Leeway
    from sllmbo.tuner.storage import allowed_edits

    if purpose == "design":
        if mask_names:
            raise ConfigError("With --mask-names no chat model is asked for a search space; see --purpose opening.")
        told = prompts.visible(task, privacy)
        if task.candidates:
            most = most_estimators(task.n_trials)
            return prompts.render_shortlist(told, most), prompts.shortlist_schema(told, most)
        return prompts.render_design(told, documented_space(told)), prompts.design_schema()
    history, memo = History(task.direction), None
    leeways: dict[str, Leeway] = {}
    if stored is not None:
        trials = stored.get_trials(deepcopy=False)
        history, memo = study_history(stored), memo_of(trials, before=len(trials))
        edits = allowed_edits(stored, fixed_space=fixed_space)
        box = box_of(space, trials, history, before=len(trials), edits=edits)
        left = None if task.n_trials is None else task.n_trials - len(history)
        if purpose == "next" and memory != "none":
            leeways = open_leeways(box, trials, history, before=len(trials), edits=edits, remaining=left)
        space = box.present
    told_all = prompts.shown(task, space, history, privacy=privacy, mask_names=mask_names)
    names = told_all.masking.names
    open_ = prompts.offered({names[name]: leeway for name, leeway in leeways.items() if name in names})
    matters = {names[name]: share for name, share in importance(space, history).items() if name in names}
    sampler = inspect.signature(AdvisedSampler).parameters
    n = sampler["n_opening" if purpose == "opening" else "n_candidates"].default
    rendered = prompts.render_suggestions(
        told_all.task,
        told_all.space,
        told_all.history,
        n=n,
        purpose=purpose,
        leeways=open_,
        memory=memory_of(memory, memo, matters),
    )
    return rendered, prompts.suggestions_schema(told_all.space, n, leeways=open_)


def _question(
    rendered: Prompt,
    schema: dict[str, Any],
    purpose: Purpose,
    llm: str,
    base_url: str | None,
    *,
    reply_mode: str,
    privacy: str,
    mask_names: bool,
) -> Question:
    from sllmbo.advisors.choose import REPLAYS
    from sllmbo.llm import listed_price, schema_in_words
    from sllmbo.llm.resolve import split_chain
    from sllmbo.prompts.words import tokens

    chat_model = None if llm == "offline" or llm.startswith(REPLAYS) else llm
    said = (said for _, said in rendered.conversation)
    in_words = reply_mode == "prompted"
    text = f"{rendered.text}\n{schema_in_words(schema)}" if in_words else rendered.text
    n = sum(map(tokens, (rendered.instructions, *said, text, "" if in_words else json.dumps(schema))))
    first = None if chat_model is None else split_chain(chat_model)[0]
    cost = None if first is None else listed_price(first, base_url=base_url, input_tokens=n)
    return Question(
        purpose=purpose,
        chat_model=chat_model,
        reply_mode=reply_mode,
        privacy=privacy,
        mask_names=mask_names,
        version=rendered.version,
        instructions=rendered.instructions,
        conversation=rendered.conversation,
        text=text,
        schema=schema,
        input_tokens=n,
        input_cost_usd=cost,
    )


def _in_words(question: Question) -> str:
    """Return the question for people; characters that a terminal would obey were escaped when it was rendered."""
    price = "price unknown" if question.input_cost_usd is None else f"{question.input_cost_usd:.2g} US dollars"
    asked = question.chat_model or "a chat model (none is named; --llm names one)"
    return "\n".join(
        [
            f"=== What {asked} would be sent: purpose {question.purpose}, privacy {question.privacy}, "
            f"words {question.version} ===",
            "=== Instructions ===",
            question.instructions,
            *(f"=== Said before by {who} ===\n{said}" for who, said in question.conversation),
            "=== Text ===",
            question.text,
            *(() if question.reply_mode == "prompted" else (_SCHEMA_HEAD, json.dumps(question.schema))),
            f"=== About {question.input_tokens} input tokens, {price}. Nothing was sent. ===",
        ]
    )
