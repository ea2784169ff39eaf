"""
`LLMAdvisor`: a chat model gives the advice. Render, ask, parse; the study's history is the only memory.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeVar

from sllmbo import prompts
from sllmbo.advisors.advisor import Advice, AdviceRequest, Memo, SpaceDesign
from sllmbo.errors import AdviceError, BudgetExceeded, ConfigError, ContextTooLong
from sllmbo.llm import Answer, Gateway, ReplyMode
from sllmbo.space import SearchSpace, SpaceEdit
from sllmbo.task import Task
from sllmbo.usage import Usage

T = TypeVar("T")


_LOG = logging.getLogger("sllmbo")


class LLMAdvisor:
    """
    Advice from a chat model. Safe to share between threads; pickles without key and connection.

    Args:
        llm: "provider:name" of the chat model, such as "openai:gpt-5-mini". The provider's key comes from the
            environment. Several, with commas between them or in a sequence, are a chain: the next one is asked when
            one does not answer.
        base_url: An OpenAI-compatible server (vLLM, llama.cpp, LM Studio, a gateway) to ask instead of the provider's
            own; the provider's key, if set, is sent to it.
        timeout: Seconds that one question may take in all, retries, a correction and other chat models included.
        reply_mode: How replies are asked for: "tool", "native", "prompted", or "auto" for what works.
        max_tokens: Tokens of one reply, thinking included.
        price: US dollars per million input and output tokens, for chat models that the price table does not know.
        memory: What of the trials is told: "digest" (a compact digest of all of them), or one of the paper's two (arXiv
            2410.20302): "summary" (the chat model condenses them now and then) and "chat" (the whole conversation).
            To measure what the digest is worth: "table" (the trials, without what they come to) and "none".
        condense_every: Trials after which a summary is made anew; the paper has 10.
        privacy: What is sent at most: "none", "schema", "statistics" or "description"; `sllmbo.prompts.privacy` has the
            table.
        mask_names: Whether parameters and categories are called x1, c1 and so on, and estimator and metric are not
            named: shows what a chat model owes to names that it knows. It then cannot design a search space.

    Raises:
        ConfigError: If the chat model is named wrongly or its key is missing.
        MissingExtra: If the provider's client is not installed.

    Example:
        >>> LLMAdvisor("openai:qwen3", base_url="http://localhost:8000/v1")
        LLMAdvisor('openai:qwen3', base_url='http://localhost:8000/v1', timeout=60.0)
    """

    def __init__(
        self,
        llm: str | Sequence[str],
        *,
        base_url: str | None = None,
        timeout: float = 60.0,
        reply_mode: ReplyMode = "auto",
        max_tokens: int = 8192,
        price: tuple[float, float] | None = None,
        memory: prompts.MemoryName = "digest",
        condense_every: int = 10,
        privacy: prompts.Privacy = "description",
        mask_names: bool = False,
    ) -> None:
        prompts.check_memory(memory)
        if condense_every < 1:
            raise ConfigError(f"condense_every={condense_every!r} must be at least 1 trial.")
        prompts.check_privacy(privacy)
        self._privacy: prompts.Privacy = privacy
        self._mask_names = mask_names
        self._memory: prompts.MemoryName = memory
        self._condense_every = condense_every
        self._gateway = Gateway(
            llm, base_url=base_url, timeout=timeout, reply_mode=reply_mode, max_tokens=max_tokens, price=price
        )
        self._gateway.check_config()  # a wrong name or a missing key shows here, not in the middle of a study

    def __repr__(self) -> str:
        return repr(self._gateway).replace("Gateway", type(self).__name__, 1)

    def design_space(self, task: Task) -> SpaceDesign:
        """
        Ask for a search space, with the documented space of the estimator as the reference where one is known.

        Where the task names candidates it is asked which of them are worth a try, and the space is the documented one.
        Parameters that cannot be used go back once, with the reasons; what still cannot be used is left out.

        Raises:
            AdviceError: If no usable space could be had.
        """
        if self._mask_names:
            raise AdviceError("A chat model that is told no names (mask_names=True) cannot design a search space.")
        told = prompts.visible(task, self._privacy)
        if task.candidates:
            return self._design_among(task, told)
        prompt = prompts.render_design(told, documented_space(told))
        imperfect: list[tuple[SearchSpace, str]] = []

        def parse(reply: Any) -> tuple[SearchSpace, str]:
            lenient = prompts.parse_design(reply, task, shown=told)
            if not imperfect:
                imperfect.append(lenient)
                return prompts.parse_design(reply, task, shown=told, strict=True)
            return lenient

        try:
            answer = self._ask(prompt, prompts.design_schema(), parse)
            (space, rationale), origin, usage, raw = answer.value, answer.chat_model, answer.usage, answer.raw
        except AdviceError as error:
            if not imperfect:
                raise
            # What was sent back was not corrected: the sound part of it remains.
            (space, rationale), origin, usage, raw = imperfect[0], self._gateway.llm, error.usage, error.raw
        return SpaceDesign(
            space=space,
            rationale=rationale,
            source="llm",
            origin=origin,
            prompt_version=prompt.version,
            usage=usage,
            raw=raw,
        )

    def _design_among(self, task: Task, told: Task) -> SpaceDesign:
        """Ask which of the candidates are worth a try; the space is the documented one over these."""
        from sllmbo.advisors.knowledge import joint_space
        from sllmbo.advisors.knowledge.shortlist import most_estimators

        most = most_estimators(task.n_trials)
        prompt, schema = prompts.render_shortlist(told, most), prompts.shortlist_schema(told, most)
        answer = self._ask(prompt, schema, lambda reply: prompts.parse_shortlist(reply, task, most))
        names = [name for name, _ in answer.value]
        return SpaceDesign(
            space=joint_space(names, task),
            rationale=f"The estimators that the chat model would try on these data: {', '.join(names)}.",
            source="llm",
            origin=answer.chat_model,
            prompt_version=prompt.version,
            usage=answer.usage,
            raw=answer.raw,
            shortlist=answer.value,
        )

    def suggest(self, request: AdviceRequest) -> Sequence[Advice]:
        """
        Ask for up to `request.n` configurations, in one question.

        Raises:
            AdviceError: If no usable advice could be had.
        """
        request, masking = self._shown(request)
        asked = _Asked()
        try:
            memo = self._memo(request, asked)
            try:
                answer, version = self._suggested(request, memo, asked)
            except ContextTooLong:
                if self._memory != "summary" or memo is not request.memo:
                    raise
                memo = self._condensed(request, asked)
                answer, version = self._suggested(request, memo, asked)
        except AdviceError as error:
            error.usage, error.raw = asked.usage, asked.raw
            raise
        suggestions, edits = answer.value
        return [
            Advice(
                params=masking.unmask(params),
                rationale=masking.unmask_text(rationale),
                source="llm",
                origin=answer.chat_model,
                prompt_version=version,
                usage=Usage() if index else asked.usage,
                raw="" if index else asked.raw,
                memo=None if index or memo is request.memo else memo,
                edits=() if index else tuple(map(masking.unmask_edit, edits)),
            )
            for index, (params, rationale) in enumerate(suggestions)
        ]

    def _shown(self, request: AdviceRequest) -> tuple[AdviceRequest, prompts.Masking]:
        told = prompts.shown(
            request.task, request.space, request.history, privacy=self._privacy, mask_names=self._mask_names
        )
        names = told.masking.names
        asked = replace(
            request,
            task=told.task,
            space=told.space,
            history=told.history,
            # What speaks for an edit are the trials.
            leeways={} if self._memory == "none" else prompts.offered(_renamed(request.leeways, names)),
            importance=_renamed(request.importance, names),
        )
        return asked, told.masking

    def _suggested(
        self, request: AdviceRequest, memo: Memo | None, asked: _Asked
    ) -> tuple[Answer[tuple[tuple[prompts.Suggestion, ...], tuple[SpaceEdit, ...]]], str]:
        prompt = prompts.render_suggestions(
            request.task,
            request.space,
            request.history,
            n=request.n,
            purpose=request.purpose,
            leeways=request.leeways,
            memory=memory_of(self._memory, memo, request.importance),
        )
        schema = prompts.suggestions_schema(request.space, request.n, leeways=request.leeways)

        def parse(reply: Any) -> tuple[tuple[prompts.Suggestion, ...], tuple[SpaceEdit, ...]]:
            return prompts.parse_suggestions(reply, request.space, request.n), prompts.parse_edits(reply)

        answer = asked.of(lambda: self._ask(prompt, schema, parse))
        return answer, prompt.version

    def _memo(self, request: AdviceRequest, asked: _Asked) -> Memo | None:
        """Return the notes in force: new ones where enough trials have come since the last."""
        after = request.memo.after if request.memo is not None else 0
        if self._memory != "summary" or len(request.history) - after < self._condense_every:
            return request.memo
        try:
            return self._condensed(request, asked)
        except BudgetExceeded:
            raise
        except AdviceError as error:  # the notes before and all trials since are told instead: nothing is lost
            _LOG.warning("The trials since number %d were not condensed (%s); they are told as they are.", after, error)
            return request.memo

    def _condensed(self, request: AdviceRequest, asked: _Asked) -> Memo:
        memo = request.memo
        memory = prompts.SummaryMemory(memo.text, memo.after) if memo is not None else prompts.SummaryMemory()
        prompt = prompts.render_condense(request.task, request.space, request.history, memory)
        answer = asked.of(lambda: self._ask(prompt, prompts.condense_schema(), prompts.parse_condense))
        # What is still running has no result yet: it and all after it are told again.
        after = next((o.number for o in request.history if o.state == "running"), len(request.history))
        return Memo(text=answer.value, after=after)

    def _ask(self, prompt: prompts.Prompt, schema: dict[str, Any], parse: Callable[[Any], T]) -> Answer[T]:
        return self._gateway.ask(
            instructions=prompt.instructions,
            prompt=prompt.text,
            schema=schema,
            check=parse,
            conversation=prompt.conversation,
        )


def _renamed(given: Mapping[str, T], names: Mapping[str, str]) -> dict[str, T]:
    """Return what is given by parameter under other names, as far as these are told."""
    return {names[name]: value for name, value in given.items() if name in names}


class _Asked:
    """What the questions for one piece of advice have cost, and what was replied to them."""

    def __init__(self) -> None:
        self.usage = Usage()
        self.raw = ""

    def of(self, ask: Callable[[], Answer[T]]) -> Answer[T]:
        """Return what *ask* returns, and count it; count it as well where it raises."""
        try:
            answer = ask()
        except AdviceError as error:
            self._add(error.usage, error.raw)
            raise
        self._add(answer.usage, answer.raw)
        return answer

    def _add(self, usage: Usage, raw: str) -> None:
        self.usage += usage
        self.raw = "\n".join(filter(None, (self.raw, raw)))


def memory_of(name: prompts.MemoryName, memo: Memo | None, importance: Mapping[str, float]) -> prompts.Memory:
    """Return the memory of this name, with the notes in force and how much each parameter matters."""
    if name == "chat":
        return prompts.ChatMemory()
    if name == "summary":
        return prompts.SummaryMemory(memo.text, memo.after) if memo is not None else prompts.SummaryMemory()
    if name == "table":
        return prompts.TableMemory()
    return prompts.NoMemory() if name == "none" else prompts.DigestMemory(importance)


def documented_space(task: Task) -> SearchSpace | None:
    """Return the documented space of the estimator that *task* names, if there is one."""
    from sllmbo.advisors.knowledge import find_estimator

    known = find_estimator(task.estimator or task.description)
    if known is None:
        return None
    kind = task.data.kind if task.data else known.kinds[0]
    return known.space(kind, task.data) if kind in known.kinds else None
