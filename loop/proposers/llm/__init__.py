"""A language model behind any OpenAI-compatible endpoint, which sees quoted data, has no tools, and answers with exact edits."""
