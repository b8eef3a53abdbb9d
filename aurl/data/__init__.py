"""Videos and features: from files on disk to a manifest and to clips."""
