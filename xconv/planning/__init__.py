"""Which formulation computes each direction of a call: estimates, wisdom, tuning, and the planner, which chooses."""
