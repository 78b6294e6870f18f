"""What the knowledge base says of a patch: how it runs, what happened before in these places, and findings that cite it."""
