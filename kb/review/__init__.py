"""Reviewing cards with a language model: the whole diff in, claims out, and only those that their anchors prove."""
