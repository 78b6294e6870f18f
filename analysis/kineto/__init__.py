"""Kineto: the JSON that torch.profiler writes, read as a stream into columns."""
