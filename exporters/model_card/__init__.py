"""The model card of a bundle: what the model is, how it was made, what was measured, and what was not."""

from allweather.exporters.model_card.card import MODEL_CARD, checkpoint_card, extended_card, foreign_card

__all__ = ["MODEL_CARD", "checkpoint_card", "extended_card", "foreign_card"]
