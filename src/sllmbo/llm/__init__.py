"""
The gateway to chat models: one typed question, one checked answer, and what it cost.
"""

from sllmbo.llm.gateway import Answer, Gateway, allow_requests
from sllmbo.llm.reading import read_json

__all__ = ["Answer", "Gateway", "allow_requests", "read_json"]
