"""Evaluation: zero-shot protocols, comparison of variants, folds, claims."""
