"""From the caller's arrays to a result: the arrays of a call, its steps, and the lowerings that are kept."""
