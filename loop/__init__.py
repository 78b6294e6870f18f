"""Campaigns over engines, and the root of the command line."""
