"""
The gateway to chat models: one typed question, one checked answer, and what it cost.
"""

from sllmbo.llm._exchange import Answer
from sllmbo.llm._wire import listed_price, schema_in_words
from sllmbo.llm.gateway import Gateway, ReplyMode, allow_requests
from sllmbo.llm.reading import read_json

__all__ = ["Answer", "Gateway", "ReplyMode", "allow_requests", "listed_price", "read_json", "schema_in_words"]
