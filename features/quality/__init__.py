"""What a log was worth: what landed, what was refused, what is missing or odd."""

from features.quality.refused import Refused
from features.quality.survey import survey

__all__ = ["Refused", "survey"]
