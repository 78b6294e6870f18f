"""The reference pages of docs/reference, made from the code: what is written there can't differ from what runs."""
