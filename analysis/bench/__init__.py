"""Serving benchmarks: results of six clients as one type, and comparisons that don't say more than the numbers do."""
