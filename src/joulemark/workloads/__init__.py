"""What is asked (tasks), who answers (backends), and with which weights (models)."""
