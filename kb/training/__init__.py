"""How the models and weights in data/ are made: from a store and judged questions to files. Nothing here runs at query time."""
