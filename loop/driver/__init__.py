"""The driver: trusted code that walks a campaign's states. It owns measurement, verdicts, ledger and references."""
