"""What merged pull requests teach: cards, the store that holds them, and finding the right one."""
