"""The site: everything a store holds as static pages that load nothing from anywhere else.

One page a card, a family, a family's manual in an engine, and a month of an engine; search runs in the browser over
an index cut into small files. Foreign words (titles, paths, diffs, comments) reach a page in three ways only: escaped
by the templates (`pages`), as highlighted code (`highlight`), or as Markdown that is made harmless (`prose`). Should
one slip through, the pages' policy lets no script and no style of its own run.
"""
