"""The built-in benchmark: objects that perform an action, rendered by casting rays."""
