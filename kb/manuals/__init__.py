"""Family manuals: what the cards say of one model family in one engine, resolved in the tree of a revision."""
