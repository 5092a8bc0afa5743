"""What knows models of torch: what they compute, see and hold, how they are converted, and networks of its layers."""
