"""What a user names as files, and their bytes: paths, globs, URLs, compressed or not."""
