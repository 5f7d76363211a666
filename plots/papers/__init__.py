"""Published numbers, and the rows of records that answer to them."""
