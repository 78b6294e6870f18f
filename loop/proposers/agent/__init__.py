"""Coding agents as commands: each in a clone of its own, behind walls; what they leave is read, what they say is not."""
