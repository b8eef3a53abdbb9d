"""Name the action in one's own videos."""
