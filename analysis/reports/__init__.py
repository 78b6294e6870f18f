"""How rows leave the package: one table type, written as text, Markdown or CSV, with foreign text made harmless."""
