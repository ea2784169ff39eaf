"""
For tests of code that uses sllmbo: scripted and hostile advisors, without network or key.

`sllmbo.testing.conformance` holds the kit for those who write an advisor, `sllmbo.testing.chat_server` a chat server on
the loopback interface for those who talk to one.
"""

from sllmbo.testing.scripted import (
    HOSTILE,
    ScriptedAdvisor,
    always_raising,
    failing_region_lover,
    malformed,
    malformed_replies,
    narrower,
    out_of_bounds,
    repeater,
    slow,
    worst_region_lover,
)

__all__ = [
    "HOSTILE",
    "ScriptedAdvisor",
    "always_raising",
    "failing_region_lover",
    "malformed",
    "malformed_replies",
    "narrower",
    "out_of_bounds",
    "repeater",
    "slow",
    "worst_region_lover",
]
