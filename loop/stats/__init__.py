"""Decisions from interleaved pairs: noise first, evidence that may be looked at any time, errors spent per campaign."""
