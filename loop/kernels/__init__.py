"""Kernel work inside of a round: is a row a kernel's, the smallest harness for it, its counters, and exactly one next edit."""
