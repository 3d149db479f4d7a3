"""How commands begin, end and read their flags."""
