"""What it takes to ask a large folder of runs."""
