"""Products, quantisation and updates in 8-bit integers."""
