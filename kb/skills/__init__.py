"""The skill that tells a coding agent when to ask prlore, and the folders in which agents look for skills."""
