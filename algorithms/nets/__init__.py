"""What rules on fully connected nets share."""
