"""Serving engines as processes: found by probing, never imported."""
