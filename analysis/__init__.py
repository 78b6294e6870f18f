"""Numbers from traces and benchmarks. Imports nothing of the other packages."""
