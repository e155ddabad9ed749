"""How right the stopping rule is, on series whose truth is known."""
