"""The knowledge base for coding agents over the Model Context Protocol. One file a tool, `server.py` puts them together."""
