"""What a campaign stores, by when it comes into being; `loop.records` has all names."""
