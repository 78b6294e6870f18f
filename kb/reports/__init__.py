"""Typed results as text, Markdown and JSON. `safe` makes foreign text harmless; one file a kind of result."""
