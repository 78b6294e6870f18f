"""Descriptions, reviews and review threads as GitHub keeps them: fetched once, kept as received, parsed from what was kept."""
