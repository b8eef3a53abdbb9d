"""What every room uses: parameters, paths, files, progress. Nothing here changes a number."""
