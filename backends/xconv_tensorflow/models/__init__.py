"""What knows models of Keras: what they compute, see and hold, how they are converted, and networks of its layers."""
