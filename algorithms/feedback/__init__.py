"""Direct feedback alignment (DFA) and direct random target projection (DRTP)."""
