"""Views of a campaign: rendered from what is stored, never read back."""
