"""
`sllmbo doctor`: whether the chat model that is named can be asked, and what to do where it cannot.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sllmbo.cli import arguments
from sllmbo.errors import AuthenticationFailed, ConfigError, MissingExtra, ProviderError, ReplyError, SllmboError

if TYPE_CHECKING:
    from sllmbo.llm import ReplyMode

HELP = (
    "Check a chat model: client, key, server, reply mode and price, by one short question.\n\n"
    "Without --llm nothing is asked, and what is configured is told: SLLMBO_LLM, the keys in the environment (by "
    "name), the clients that are installed. Exit code: 0 if all is well, 2 if something is to be done."
)

_SECONDS = 60.0  # servers on one's own machine load a chat model at the first question
_MAX_TOKENS = 2048
_SCHEMA = {
    "type": "object",
    "properties": {"sum": {"type": "integer", "description": "2 + 3"}},
    "required": ["sum"],
    "additionalProperties": False,
}


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was checked."""

    check: str
    ok: bool
    words: str
    """What was found, and what to do if that is wrong."""

    chat_model: str = ""
    """What it is about; empty if it is about the configuration."""


def doctor(
    llm: Annotated[
        str | None, typer.Option(metavar="SPEC", help='"provider:model", or several with commas between them.')
    ] = None,
    base_url: Annotated[str | None, typer.Option(metavar="URL", help="The server to ask instead.")] = None,
    reply_mode: arguments.ReplyMode = "auto",
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> int:
    """Check a chat model, or tell what is configured."""
    findings = list(_configured(base_url, reply_mode) if llm is None else _examine(llm, base_url, reply_mode))
    ok = all(finding.ok for finding in findings)
    if as_json:
        print(json.dumps({"llm": llm, "ok": ok, "findings": [asdict(finding) for finding in findings]}))
    else:
        width = max(len(finding.chat_model) for finding in findings)
        for finding in findings:
            about = f"{finding.chat_model:<{width}}  " if width else ""
            print(f"{'ok' if finding.ok else 'WRONG':<7}{about}{finding.check:<11}{finding.words}")
    return 0 if ok else 2


def _configured(base_url: str | None, reply_mode: ReplyMode) -> Iterator[Finding]:
    from sllmbo.llm.resolve import PROVIDERS, keys_set

    if base_url is not None:
        yield Finding("server", False, f"--base-url {base_url!r} needs a chat model: name it with --llm openai:NAME.")
    if reply_mode != "auto":
        yield Finding("reply", False, f"--reply-mode {reply_mode} needs a chat model: name it with --llm.")
    named = os.environ.get("SLLMBO_LLM")
    told = (
        f"SLLMBO_LLM={named!r}" if named else "SLLMBO_LLM is not set: documented rules advise, no chat model is asked"
    )
    yield Finding("llm", True, told + (f"; check it with: sllmbo doctor --llm {named}" if named else ""))
    yield Finding("keys", True, ", ".join(keys_set()) or "no provider's key is in the environment")
    installed = [name for name, provider in PROVIDERS.items() if provider.installed]
    yield Finding("installed", True, ", ".join(installed) or 'no client; for example: pip install "sllmbo[openai]"')
    absent = [name for name in PROVIDERS if name not in installed]
    if absent:
        yield Finding("available", True, f'{", ".join(absent)}: pip install "sllmbo[NAME]"')


def _examine(llm: str, base_url: str | None, reply_mode: ReplyMode) -> Iterator[Finding]:
    from sllmbo.advisors.choose import REPLAYS, choose_advisor
    from sllmbo.llm.resolve import split_chain

    if llm == "offline" or llm.startswith(REPLAYS):
        try:
            choose_advisor(llm, base_url=base_url, reply_mode=reply_mode)
        except SllmboError as error:
            yield Finding("llm", False, str(error))
        else:
            yield Finding("llm", True, f"{llm!r} asks no chat model")
        return
    try:
        specs = split_chain(llm)
    except ConfigError as error:
        yield Finding("llm", False, str(error))
        return
    for spec in specs:
        for finding in _examine_one(spec, base_url, reply_mode):
            yield replace(finding, chat_model=spec)


def _examine_one(spec: str, base_url: str | None, reply_mode: ReplyMode) -> Iterator[Finding]:
    from sllmbo.llm import Gateway
    from sllmbo.llm.resolve import PROVIDERS, keys_set, split_spec

    try:
        gateway = Gateway(spec, base_url=base_url, timeout=_SECONDS, reply_mode=reply_mode, max_tokens=_MAX_TOKENS)
        gateway.check_config()
    except MissingExtra as error:
        yield Finding("client", False, str(error))
        return
    except ConfigError as error:
        yield Finding("setting", False, str(error))
        return
    yield Finding("client", True, "the provider's client is installed")
    provider = PROVIDERS.get(split_spec(spec)[0], PROVIDERS["openai"])
    keys = [name for name in provider.keys if name in keys_set()]
    told = f"{keys[0]} is set" if keys else "none is set, which suits servers that ask for none"
    yield from _ask(gateway, key=told)


def _ask(gateway: Any, *, key: str) -> Iterator[Finding]:
    question = {"instructions": "Answer briefly.", "prompt": "What is 2 + 3?", "schema": _SCHEMA}
    try:
        answer = gateway.ask(**question, check=_the_sum)
    except AuthenticationFailed as error:
        yield Finding("key", False, str(error))
        return
    except ProviderError as error:
        yield Finding("server", False, str(error))
        return
    except ReplyError as error:
        yield Finding("reply", False, str(error))
        return
    yield Finding("key", True, key)
    yield Finding("server", True, f"{answer.chat_model} answered after {answer.usage.seconds:.2g} s")
    mended = f", after {answer.repairs} correction" if answer.repairs else ""
    yield Finding("reply", True, f"reply mode {answer.reply_mode}{mended}")
    cost = answer.usage.cost_usd
    known = "unknown: tokens are counted, money is not, so a budget in US dollars cannot be kept"
    yield Finding("price", True, known if cost is None else f"known: this question cost {cost:.2g} US dollars")


def _the_sum(reply: Any) -> int:
    if not isinstance(reply, dict) or reply.get("sum") != 5:
        raise ReplyError('"sum" must be 5, which is 2 + 3.')
    return 5
