"""A small serving engine of known costs."""

__version__ = "1.0.0"
