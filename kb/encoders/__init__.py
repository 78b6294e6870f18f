"""Encoders: words of a card or of a question to a vector. One file an implementation, `base` has the interface."""
