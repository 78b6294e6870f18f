"""Commands of the knowledge base: options in, typed values out to `kb.report`. One file a command."""
