"""Pages are run as doctests; what builds them is not collected, since it needs Sphinx."""

collect_ignore_glob = ["*.py"]
