"""Review threads that somebody else collected: the public corpus of SGLang reviews, a JSON line a thread."""
