"""The source map: topics of an engine's tree, found in whatever tree is at hand."""
