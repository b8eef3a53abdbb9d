"""Classify a user's own videos by any class names."""
