"""What can go wrong in the analysis of traces and benchmarks, as a user should see it.

AnalysisError               any error with a one-line message and a remedy; the CLI exits with 2
+-- UnreadableTrace         not there, not a trace, or nothing of it can be read
+-- UnreadableResult        not there, or no client's benchmark result that we know
+-- UnreadableCounters      not an Nsight Compute report or CSV
+-- MissingExtra            a feature needs a package that is not installed
+-- RulesError              a data file with patterns contradicts itself
"""

from __future__ import annotations


class AnalysisError(Exception):
    """Base of every error of this package that a user should read as one line, without a traceback."""


class UnreadableTrace(AnalysisError):
    """A file isn't a trace of the PyTorch profiler, or no event of it can be read."""


class RulesError(AnalysisError):
    """A file of rules (families, fusions) is malformed."""


class UnreadableResult(AnalysisError):
    """A file isn't a benchmark result of a client that we know, or nothing of it can be read."""


class UnreadableCounters(AnalysisError):
    """A file isn't an Nsight Compute report or CSV, or holds no kernel."""


class MissingExtra(AnalysisError):
    """A feature needs a package that is not installed; the message names the extra."""
