"""The commands of ``xconv``: a file for each, with its options and what it prints."""
