"""What figures and tables share: style, labels, ticks, saving."""
