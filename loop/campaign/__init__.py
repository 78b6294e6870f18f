"""A campaign on disk: one SQLite file and a content-addressed folder, driven in steps that survive being killed."""
