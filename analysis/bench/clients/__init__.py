"""One reader for each client: does a JSON object look like its result, and what does it say."""
