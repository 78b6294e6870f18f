"""From a row of a profile to evidence: cards of the knowledge base, quoted so that a gate can check them."""
