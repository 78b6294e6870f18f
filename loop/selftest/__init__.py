"""Campaigns whose truth is known, through the real driver: does it lie, and does it find what is there."""
