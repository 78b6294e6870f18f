"""Cards as files: our Markdown and JSON, without loss both ways, and the Markdown dossiers of others."""
