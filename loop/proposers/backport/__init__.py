"""Merged pull requests that the target lacks, brought onto it by exact three-way merges."""
