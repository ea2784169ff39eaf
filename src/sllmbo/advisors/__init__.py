"""
Who gives advice: a chat model, documented rules, a recording.
"""

from sllmbo.advisors.advisor import Advice, AdviceRequest, Advisor, Memo, SpaceDesign
from sllmbo.advisors.choose import choose_advisor

__all__ = ["Advice", "AdviceRequest", "Advisor", "Memo", "SpaceDesign", "choose_advisor"]
