"""From the caller's arrays to a result: whose they are, what is asked, how it is run, and what is kept of that."""
