"""What is computed, and what a backend is: operations, problems, targets and plans as values; the right answer."""
