"""What the project needs of the machine: errors, files, processes, memory. It knows nothing of convolutions."""
