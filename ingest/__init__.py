"""Facts about pull requests as a git history holds them. No judgement, no ranking, no storage."""
