"""Descriptions and review threads in the knowledge base: their rows, their joins to cards and diffs, reading and searching."""
