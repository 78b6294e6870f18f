"""Language models behind any OpenAI-compatible endpoint: client, budget, schema-checked answers, journal, untrusted text."""
