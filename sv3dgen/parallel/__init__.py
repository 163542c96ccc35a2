"""How many threads and processes a machine has work for."""
