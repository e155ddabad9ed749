"""How far a twin is from the trained model."""
