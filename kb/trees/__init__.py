"""The source tree of an engine at one moment, from git or from what the cards say."""
