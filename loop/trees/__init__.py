"""Trees of candidates, made and compared in a git folder of the driver's own; what a proposer left is only ever read."""
