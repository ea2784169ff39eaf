"""
Values: what can be tuned, and over which ranges.
"""

from sllmbo.space.edits import Leeway, SpaceEdit
from sllmbo.space.parameters import Categorical, Float, Int, Parameter, Scalar, When
from sllmbo.space.schema import json_schema
from sllmbo.space.search_space import Repair, SearchSpace

__all__ = [
    "Categorical",
    "Float",
    "Int",
    "Leeway",
    "Parameter",
    "Repair",
    "Scalar",
    "SearchSpace",
    "SpaceEdit",
    "When",
    "json_schema",
]
