"""What is to be found out on a machine with a real NVIDIA GPU: one command, in stages, the worthiest first."""
