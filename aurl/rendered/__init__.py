"""The built-in benchmark: things that perform an action, drawn by casting rays."""
