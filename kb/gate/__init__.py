"""The gate a card must pass, whoever made it: the history, a model, a person, or somebody else's document."""

from kb.gate.check import check_card
from kb.gate.defects import Defect
from kb.gate.embedded import check_starter
from kb.gate.prose import check_shared_sentences

__all__ = ["Defect", "check_card", "check_shared_sentences", "check_starter"]
