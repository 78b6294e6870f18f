"""A neutral load generator: its own process, its own tokenizer, its own clock."""
