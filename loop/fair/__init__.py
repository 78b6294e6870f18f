"""The fair comparison: every engine tuned with the same budget, loaded by the same generator, judged by the same numbers."""
