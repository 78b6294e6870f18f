"""What can go wrong in the analysis of traces and benchmarks, as a user should see it.

AnalysisError               any error with a one-line message and a remedy; the CLI exits with 2
+-- UnreadableTrace         not there, not a trace, or nothing of it can be read
+-- RulesError              a data file with patterns contradicts itself
"""

from __future__ import annotations


class AnalysisError(Exception):
    """Base of every error of this package that a user should read as one line, without a traceback."""


class UnreadableTrace(AnalysisError):
    """A file isn't a trace of the PyTorch profiler, or no event of it can be read."""


class RulesError(AnalysisError):
    """A file of rules (families, fusions) is malformed."""
