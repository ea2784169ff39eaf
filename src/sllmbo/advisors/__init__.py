"""
Who gives advice: a chat model, documented rules, a recording.
"""

from sllmbo.advisors.advisor import Advice, AdviceRequest, Advisor, SpaceDesign

__all__ = ["Advice", "AdviceRequest", "Advisor", "SpaceDesign"]
