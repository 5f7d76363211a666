"""What predictions said, kept for the next time that they are asked for."""
