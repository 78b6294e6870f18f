"""Foreign code as a child: an argument list from a template, chosen variables, limits, and bubblewrap where it is there."""
